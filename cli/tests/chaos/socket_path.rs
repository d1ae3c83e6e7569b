//! The socket path, as a process outside the bus sees it.

use std::{
    ffi::OsString,
    fs,
    os::unix::{fs::MetadataExt as _, net::UnixStream},
    path::PathBuf,
};

use rustix::net::sockopt::socket_peercred;

use crate::bus::Bus;

impl Bus {
    /// The process that listens at the path.
    pub(crate) fn pid_at_path(&self) -> Option<u32> {
        let probe = UnixStream::connect(&self.path).ok()?;
        let credentials = socket_peercred(&probe).ok()?;
        Some(credentials.pid.as_raw_nonzero().get() as u32)
    }

    /// The inode of the file at the path.
    pub(crate) fn inode(&self) -> Option<u64> {
        Some(fs::symlink_metadata(&self.path).ok()?.ino())
    }

    pub(crate) fn lock_path(&self) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(".lock");
        path.into()
    }

    /// All files in the directory of the path.
    pub(crate) fn files(&self) -> Vec<OsString> {
        let files = fs::read_dir(self.directory.path()).unwrap();
        files.map(|file| file.unwrap().file_name()).collect()
    }
}
