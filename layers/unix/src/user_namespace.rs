//! Whether a uid stands for one user. In a user namespace (user_namespaces(7)) the kernel shows all users that
//! the namespace does not map as one: the overflow uid, 65534 by default.
//!
//! In: two files of /proc, read once. Out: that uid, if users are unmapped. Touches nothing else.

use std::{fs, sync::OnceLock};

/// True when this uid stands for every user that this process's user namespace does not map.
pub(crate) fn is_unmapped(uid: u32) -> bool {
    static UNMAPPED: OnceLock<Option<u32>> = OnceLock::new();
    let unmapped = UNMAPPED.get_or_init(|| {
        let map = fs::read_to_string("/proc/self/uid_map").ok();
        let overflow = fs::read_to_string("/proc/sys/kernel/overflowuid").ok();
        unmapped(map.as_deref(), overflow.as_deref())
    });
    *unmapped == Some(uid)
}

/// `None` when all users are mapped, as outside of user namespaces. An unreadable map counts as empty.
#[cfg(target_os = "linux")]
fn unmapped(map: Option<&str>, overflow: Option<&str>) -> Option<u32> {
    /// The default, used where /proc cannot be read.
    const OVERFLOW_UID: u32 = 65_534;
    /// All uids except the one that means none.
    const ALL_UIDS: u64 = u32::MAX as u64;
    // A line: the first uid inside, the first outside, how many (user_namespaces(7)).
    let count = |line: &str| line.split_whitespace().nth(2)?.parse::<u64>().ok();
    let mapped: u64 = map.unwrap_or_default().lines().filter_map(count).sum();
    let overflow = overflow.and_then(|uid| uid.trim().parse().ok());
    (mapped < ALL_UIDS).then(|| overflow.unwrap_or(OVERFLOW_UID))
}

#[cfg(not(target_os = "linux"))]
fn unmapped(_: Option<&str>, _: Option<&str>) -> Option<u32> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_overflow_uid_is_unmapped_unless_all_users_are_mapped() {
        let whole = "         0          0 4294967295\n";
        let rootless = "         0       1000          1\n         1     100000      65536\n";
        let table = [
            (Some(whole), Some("65534\n"), None),
            (Some(rootless), Some("65534\n"), Some(65_534)),
            (Some(rootless), Some("99\n"), Some(99)),
            (Some(rootless), None, Some(65_534)),
            (Some(""), Some("65534\n"), Some(65_534)),
            (None, None, Some(65_534)),
            (
                Some("0 0 1000\n1000 1000 4294966295\n"),
                Some("65534\n"),
                None,
            ),
        ];
        for (map, overflow, uid) in table {
            assert_eq!(unmapped(map, overflow), uid, "{map:?} {overflow:?}");
        }
    }
}
