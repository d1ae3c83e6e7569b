//! A stack in a senseless order does not compile, and rustc says why in a sentence of ours.
//!
//! Each file in `tests/ui` is one stack. Its first lines say what rustc must answer: `// error: ` the
//! start of an error, `// note: ` the remedy. A file without them must compile. The files are checked
//! against the libraries beside this test (`target/*/deps`), so that nothing is built for it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Helpers stand beside the test.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

#[test]
fn a_senseless_order_does_not_compile_and_each_error_is_a_sentence_of_ours() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui");
    let libraries = Libraries::find(&dir.join("in_order.rs"));
    let mut cases = 0;
    for case in fs::read_dir(dir).unwrap() {
        let case = case.unwrap().path();
        let source = fs::read_to_string(&case).unwrap();
        let errors = expected(&source, "// error: ");
        let said = libraries.check(&case);
        let case = case.display();
        assert_eq!(said.is_ok(), errors.is_empty(), "{case}: {said:?}");
        let Err(said) = said else { continue };
        let got: Vec<_> = said
            .lines()
            .filter_map(|line| line.strip_prefix("error[E0277]: "))
            .collect();
        let first = got.first().is_some_and(|got| got.contains(errors[0]));
        assert!(first, "{case}: {said}");
        for got in got {
            let ours = errors.iter().any(|error| got.contains(error));
            assert!(ours, "{case}: {got}");
        }
        for sentence in [errors, expected(&source, "// note: ")].concat() {
            assert!(said.contains(sentence), "{case}: {sentence}\n{said}");
        }
        cases += 1;
    }
    assert_eq!(cases, 12);
}

fn expected<'a>(source: &'a str, kind: &str) -> Vec<&'a str> {
    let lines = source.lines();
    lines.filter_map(|line| line.strip_prefix(kind)).collect()
}

/// What a case is compiled with.
struct Libraries {
    deps: PathBuf,
    kyneta_uds: PathBuf,
    tower: PathBuf,
}

impl Libraries {
    /// The newest pair that `sensible` compiles with: older ones have other features or sources.
    fn find(sensible: &Path) -> Self {
        let deps = std::env::current_exe().unwrap();
        let deps = deps.parent().unwrap();
        for kyneta_uds in newest_first(deps, "libkyneta_uds-") {
            for tower in newest_first(deps, "libtower-") {
                let libraries = Self {
                    deps: deps.to_owned(),
                    kyneta_uds: kyneta_uds.clone(),
                    tower,
                };
                if libraries.check(sensible).is_ok() {
                    return libraries;
                }
            }
        }
        panic!(
            "{} compiles with no library in {deps:?}",
            sensible.display()
        );
    }

    /// What rustc says of `case`, if it does not compile.
    fn check(&self, case: &Path) -> Result<(), String> {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let output = tempfile::tempdir().unwrap();
        let compiled = Command::new(rustc)
            .args(["--edition=2024", "--crate-type=bin", "--emit=metadata"])
            .arg(joined("--out-dir=", output.path()))
            .arg(joined("-Ldependency=", &self.deps))
            .arg(joined("--extern=kyneta_uds=", &self.kyneta_uds))
            .arg(joined("--extern=tower=", &self.tower))
            .arg(case)
            .output()
            .unwrap();
        match compiled.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8(compiled.stderr).unwrap()),
        }
    }
}

fn joined(option: &str, path: &Path) -> OsString {
    let mut argument = OsString::from(option);
    argument.push(path);
    argument
}

fn newest_first(deps: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(deps)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| {
            let name = entry.file_name().into_string().unwrap();
            name.starts_with(prefix) && name.ends_with(".rlib")
        })
        .map(|entry| (entry.metadata().unwrap().modified().unwrap(), entry.path()))
        .collect();
    found.sort_by_key(|(modified, _)| std::cmp::Reverse(*modified));
    found.into_iter().map(|(_, path)| path).collect()
}
