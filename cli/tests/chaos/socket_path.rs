//! The path, as one sees it who has nothing to do with the bus.

use std::{
    ffi::OsString,
    fs,
    os::unix::{fs::MetadataExt as _, net::UnixStream},
    path::PathBuf,
};

use rustix::net::sockopt::socket_peercred;

use crate::bus::Bus;

impl Bus {
    /// The process behind the path.
    pub(crate) fn who_answers(&self) -> Option<u32> {
        let probe = UnixStream::connect(&self.path).ok()?;
        let credentials = socket_peercred(&probe).ok()?;
        Some(credentials.pid.as_raw_nonzero().get() as u32)
    }

    /// What names the file at the path.
    pub(crate) fn inode(&self) -> Option<u64> {
        Some(fs::symlink_metadata(&self.path).ok()?.ino())
    }

    pub(crate) fn lock_path(&self) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(".lock");
        path.into()
    }

    /// The path, its lock, and what does not belong there.
    pub(crate) fn files(&self) -> Vec<OsString> {
        let files = fs::read_dir(self.directory.path()).unwrap();
        files.map(|file| file.unwrap().file_name()).collect()
    }
}
