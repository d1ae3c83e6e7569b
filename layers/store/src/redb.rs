//! A store in one file, by the library redb.
//!
//! In: a directory. Out: a store. Touches the file `documents.redb` in it, which the own user alone may read and write.

use std::{
    fmt,
    fs::{DirBuilder, File, OpenOptions, Permissions},
    io,
    ops::RangeInclusive,
    os::unix::fs::{
        DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
    },
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use kyneta_uds_core::{DocId, SavedError, panic_text};
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, StorageError,
    Table, TableDefinition, WriteTransaction,
};

use crate::{
    encoding::{decode_head, decode_offer, encode_head, encode_offer},
    error::StoreError,
    stored::{Store, Stored, Write},
};

/// The name of the file.
const FILE: &str = "documents.redb";

/// The format that is written, and those that are read. A later one is refused.
const FORMAT: u64 = 1;
const READS: RangeInclusive<u64> = 1..=FORMAT;

/// Facts about the store: `format`.
const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");
/// The heads of documents.
const HEADS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("documents");
/// Their offers, in order.
const OFFERS: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("offers");

/// What the library keeps of the file in memory, bytes.
const CACHE: usize = 8 << 20;

/// A store in the file `documents.redb` of a directory.
///
/// The file is made with mode 0600, the directory, if it is not there, with 0700. Both are on the disk (fsync), with their
/// names, when [`open`](Self::open) returns. Every [`write`](Store::write) is one transaction, which is on the disk when it
/// returns; after a crash the file is as the last one has left it. After one that fails, as on a full disk, the file is
/// opened anew. Opening and all methods block. A panic of the library, as of a file that was cut off, is
/// [`StoreError::Corrupt`].
///
/// ```
/// use kyneta_uds_store::{Redb, Store};
///
/// # let dir = tempfile::tempdir()?;
/// let mut store = Redb::open(dir.path().join("exchange"))?;
/// assert!(store.load()?.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Redb {
    path: PathBuf,
    /// Absent after a failure, until it can be opened again.
    database: Option<Database>,
}

impl Redb {
    /// Opens the store of a directory, or makes it.
    ///
    /// # Errors
    /// [`StoreError`]: the directory cannot be used, another process has the store, a later version has written it,
    /// its file is something else, or is damaged.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, StoreError> {
        let dir = dir.as_ref();
        let open = |path: &Path, source| StoreError::Open {
            path: path.to_owned(),
            source,
        };
        let is_there = |at: &&Path| at.as_os_str().is_empty() || at.exists();
        let there = dir.ancestors().find(is_there).map(Path::to_owned);
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(dir);
        made.map_err(|source| match source.kind() {
            // The directory itself may be there already: what is there is none.
            io::ErrorKind::AlreadyExists => {
                let why = "it is a file, and a store is a directory";
                open(dir, io::Error::new(io::ErrorKind::NotADirectory, why))
            }
            _ => open(dir, source),
        })?;
        let path = dir.join(FILE);
        let mut store = Self {
            path,
            database: None,
        };
        guarded(&store.path.clone(), || store.check())?;
        sync_dirs(dir, there.as_deref()).map_err(|source| open(dir, source))?;
        Ok(store)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The database of the file, opened if it is not.
    fn database(&mut self) -> Result<&Database, StoreError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => {
                let file = private(&self.path).map_err(|source| StoreError::Open {
                    path: self.path.clone(),
                    source,
                })?;
                let database = Builder::new().set_cache_size(CACHE).create_file(file);
                database.map_err(|error| unopened(error, &self.path))?
            }
        };
        Ok(self.database.insert(database))
    }

    /// Makes the tables of a new file, and looks at the format of another.
    fn check(&mut self) -> Result<(), StoreError> {
        let transaction = self.begin()?;
        let is_new = transaction
            .list_tables()
            .map_err(StoreError::failed)?
            .count()
            == 0;
        let format = {
            let opened = transaction.open_table(ABOUT);
            let mut about = opened.map_err(|_| self.not_a_store())?;
            if is_new {
                about.insert("format", FORMAT).map_err(StoreError::failed)?;
            }
            let found = about.get("format").map_err(StoreError::failed)?;
            found.map(|found| found.value())
        };
        let found = format.ok_or_else(|| self.not_a_store())?;
        if !READS.contains(&found) {
            return Err(StoreError::Newer {
                path: self.path.clone(),
                found,
                newest: FORMAT,
            });
        }
        // With other types, they are of something else.
        transaction
            .open_table(HEADS)
            .map_err(|_| self.not_a_store())?;
        transaction
            .open_table(OFFERS)
            .map_err(|_| self.not_a_store())?;
        transaction.commit().map_err(StoreError::failed)
    }

    fn not_a_store(&self) -> StoreError {
        StoreError::NotAStore {
            path: self.path.clone(),
        }
    }

    fn begin(&mut self) -> Result<WriteTransaction, StoreError> {
        self.database()?.begin_write().map_err(StoreError::failed)
    }
}

/// Why the library does not open the file.
fn unopened(error: DatabaseError, path: &Path) -> StoreError {
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { path },
        DatabaseError::Storage(StorageError::Io(error))
            if error.kind() == io::ErrorKind::InvalidData =>
        {
            StoreError::NotAStore { path }
        }
        DatabaseError::Storage(StorageError::Io(error))
            if error.kind() == io::ErrorKind::UnexpectedEof =>
        {
            let why = "it was cut off".to_owned();
            StoreError::Corrupt { path, why }
        }
        DatabaseError::Storage(StorageError::Io(source)) => StoreError::Open { path, source },
        DatabaseError::Storage(StorageError::Corrupted(why)) => StoreError::Corrupt { path, why },
        other => StoreError::failed(other),
    }
}

/// Calls the library, which panics on some files that are damaged.
fn guarded<T>(path: &Path, call: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        Err(StoreError::Corrupt {
            path: path.to_owned(),
            why: panic_text(&*panic).unwrap_or("it panicked").to_owned(),
        })
    })
}

/// Brings a directory to the disk, and those above it as far as one that was there before. Without that a power cut may
/// take the name of a new file away, and all that was written to it.
fn sync_dirs(dir: &Path, there: Option<&Path>) -> io::Result<()> {
    for at in dir.ancestors() {
        let named = match at.as_os_str().is_empty() {
            true => Path::new("."),
            false => at,
        };
        match File::open(named)?.sync_all() {
            // This filesystem keeps no directories that could be synced.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
            synced => synced?,
        }
        if Some(at) == there {
            break;
        }
    }
    Ok(())
}

/// The file, made if it is not there, for its user alone.
fn private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    let file = options.mode(0o600).open(path)?;
    let about = file.metadata()?;
    let (mode, user) = (about.mode() & 0o7777, about.uid());
    if mode & 0o077 != 0 {
        let set = file.set_permissions(Permissions::from_mode(0o600));
        set.map_err(|error| {
            let why = format!(
                "it is of user {user}, who alone can keep others from it (mode {mode:04o}): {error}"
            );
            io::Error::new(error.kind(), why)
        })?;
    }
    Ok(file)
}

impl Store for Redb {
    fn load(&mut self) -> Result<Vec<Stored>, StoreError> {
        guarded(&self.path.clone(), || self.stored())
    }

    fn write(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        let path = self.path.clone();
        let written = guarded(&path, || self.commit(writes));
        if let Err(StoreError::Failed(_)) = &written {
            // After an error of the device the library refuses all that follows. The file is opened again at once, so
            // that no other process takes it meanwhile; if it cannot be, the next write opens it or says why not.
            let _ = guarded(&path, || {
                self.database = None;
                self.database().map(drop)
            });
        }
        written
    }
}

impl Redb {
    fn stored(&mut self) -> Result<Vec<Stored>, StoreError> {
        let transaction = self.database()?.begin_read();
        let transaction = transaction.map_err(StoreError::failed)?;
        let heads = transaction.open_table(HEADS).map_err(StoreError::failed)?;
        let offers = transaction.open_table(OFFERS).map_err(StoreError::failed)?;
        let mut all = Vec::new();
        for entry in heads.iter().map_err(StoreError::failed)? {
            let (name, head) = entry.map_err(StoreError::failed)?;
            let name = name.value();
            let damaged = |error: SavedError| StoreError::Damaged {
                doc: name.to_owned(),
                why: error.to_string(),
            };
            let head = decode_head(head.value()).map_err(damaged)?;
            let doc = DocId::new(name).map_err(StoreError::failed)?;
            let mut stored = Stored {
                head,
                offers: Vec::new(),
            };
            let of_it = offers.range((name, 0)..=(name, u64::MAX));
            for entry in of_it.map_err(StoreError::failed)? {
                let (_, offer) = entry.map_err(StoreError::failed)?;
                let offer = decode_offer(doc.clone(), offer.value()).map_err(damaged)?;
                stored.offers.push(offer);
            }
            all.push(stored);
        }
        Ok(all)
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        let transaction = self.begin()?;
        {
            let heads = transaction.open_table(HEADS);
            let offers = transaction.open_table(OFFERS);
            let mut tables = Tables {
                heads: heads.map_err(StoreError::failed)?,
                offers: offers.map_err(StoreError::failed)?,
            };
            for write in writes {
                tables.make(write)?;
            }
        }
        transaction.commit().map_err(StoreError::failed)
    }
}

/// The tables of a transaction. An error leaves it without a commit.
struct Tables<'t> {
    heads: Table<'t, &'static str, &'static [u8]>,
    offers: Table<'t, (&'static str, u64), &'static [u8]>,
}

impl Tables<'_> {
    fn make(&mut self, write: &Write) -> Result<(), StoreError> {
        match write {
            Write::Replace { head, offer } => {
                self.delete(&offer.doc)?;
                self.put_head(&offer.doc, &encode_head(head))?;
                self.put(&offer.doc, 0, &encode_offer(offer))
            }
            Write::Append { offer } => {
                let doc = offer.doc.as_str();
                let last = {
                    let of_it = self.offers.range((doc, 0)..=(doc, u64::MAX));
                    let last = of_it.map_err(StoreError::failed)?.next_back();
                    let last = last.transpose().map_err(StoreError::failed)?;
                    last.map(|(key, _)| key.value().1)
                };
                let last = last.ok_or_else(|| StoreError::Damaged {
                    doc: doc.to_owned(),
                    why: "there is nothing that a change could be added to".to_owned(),
                })?;
                self.put(&offer.doc, last.saturating_add(1), &encode_offer(offer))
            }
            Write::Head { doc, head } => {
                let is_there = self.heads.get(doc.as_str()).map_err(StoreError::failed)?;
                match is_there.map(drop) {
                    Some(()) => self.put_head(doc, &encode_head(head)),
                    None => Ok(()),
                }
            }
            Write::Delete { doc } => self.delete(doc),
        }
    }

    fn put_head(&mut self, doc: &DocId, bytes: &[u8]) -> Result<(), StoreError> {
        let put = self.heads.insert(doc.as_str(), bytes);
        put.map(drop).map_err(StoreError::failed)
    }

    fn put(&mut self, doc: &DocId, at: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let put = self.offers.insert((doc.as_str(), at), bytes);
        put.map(drop).map_err(StoreError::failed)
    }

    fn delete(&mut self, doc: &DocId) -> Result<(), StoreError> {
        let doc = doc.as_str();
        let removed = self.heads.remove(doc).map_err(StoreError::failed)?;
        if removed.map(drop).is_none() {
            return Ok(());
        }
        let of_it = (doc, 0)..=(doc, u64::MAX);
        let removed = self.offers.retain_in(of_it, |_, _| false);
        removed.map_err(StoreError::failed)
    }
}

impl fmt::Debug for Redb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redb")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_of_a_later_format_is_refused_and_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let set = |format| {
            let database = Database::create(dir.path().join(FILE)).unwrap();
            let transaction = database.begin_write().unwrap();
            let mut about = transaction.open_table(ABOUT).unwrap();
            about.insert("format", format).unwrap();
            drop(about);
            transaction.commit().unwrap();
        };
        drop(Redb::open(dir.path()).unwrap());
        set(FORMAT + 1);
        let error = Redb::open(dir.path()).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("has format 2, and this version reads formats up to 1")
        );
        set(FORMAT);
        assert!(Redb::open(dir.path()).is_ok());
    }

    #[test]
    fn a_database_of_something_else_is_no_store() {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::create(dir.path().join(FILE)).unwrap();
        let transaction = database.begin_write().unwrap();
        let other: TableDefinition<'_, u64, u64> = TableDefinition::new("about");
        transaction.open_table(other).unwrap().insert(1, 1).unwrap();
        transaction.commit().unwrap();
        drop(database);
        let error = Redb::open(dir.path()).unwrap_err();
        assert!(matches!(error, StoreError::NotAStore { .. }), "{error}");
    }
}
