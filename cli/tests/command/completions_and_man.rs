//! Completions and manual pages contain every command that --help lists.
//!
//! The list comes from `--help` itself, so a new command cannot be forgotten. A failure names the shell and the word.

use std::{fs, process::Command};

use crate::process::start;

/// The completions of a shell.
fn completions(shell: &str) -> String {
    let end = start(&["completions", shell]).finish();
    assert_eq!((end.code, end.stderr.as_str()), (0, ""));
    end.rest.join("\n")
}

/// The commands, as `--help` lists them.
fn commands() -> Vec<String> {
    let help = start(&["--help"]).finish().rest;
    let listed = help
        .iter()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        // A long description goes on in a line of its own, further to the right.
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help");
    let commands: Vec<_> = listed.map(str::to_owned).collect();
    assert!(commands.contains(&"status".to_owned()), "{help:?}");
    commands
}

#[test]
fn every_shell_completes_every_command_and_its_options() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = completions(shell);
        let words: Vec<_> = script
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
            .map(|word| word.trim_start_matches('-'))
            .collect();
        for word in commands().iter().map(String::as_str).chain([
            "decode", // of `wire`
            "watch",  // of `status`
            "no-reconnect",
            "allow-uid",
            "group",
        ]) {
            assert!(words.contains(&word), "{shell} does not complete {word}");
        }
    }
}

#[test]
fn bash_completes_what_follows_a_command() {
    let script = completions("bash");
    for (typed, word, completed) in [
        ("kyneta-uds", "sta", "status"),
        ("kyneta-uds status", "--w", "--watch"),
        ("kyneta-uds wire decode", "--r", "--raw"),
        ("kyneta-uds peer x --wire", "a", "auto"),
    ] {
        let (position, before) = (typed.split(' ').count(), typed.rsplit(' ').next().unwrap());
        let script = format!(
            "{script}
            COMP_WORDS=({typed} {word}) COMP_CWORD={position}
            $(complete -p kyneta-uds | grep -o '_kyneta[^ ]*') kyneta-uds {word} {before}
            echo \"${{COMPREPLY[@]}}\""
        );
        let bash = Command::new("bash").args(["-c", &script]).output().unwrap();
        let printed = String::from_utf8_lossy(&bash.stdout);
        assert_eq!(printed.trim(), completed, "{typed} {word}: {bash:?}");
    }
}

#[test]
fn every_command_has_a_manual_page_that_the_main_page_names() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().to_str().unwrap();
    let end = start(&["man", "--dir", to]).finish();
    assert_eq!((end.code, end.rest, end.stderr), (0, vec![], String::new()));
    let page = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    // roff escapes a hyphen.
    let in_roff = |word: &str| word.replace('-', "\\-");

    let first = start(&["man"]).finish().rest.join("\n");
    assert_eq!(first, page("kyneta-uds.1").trim_ascii_end());
    for command in commands() {
        let name = format!("kyneta-uds-{command}");
        assert!(first.contains(&in_roff(&name)), "{first}");
        page(&format!("{name}.1"));
    }
    assert!(page("kyneta-uds-status.1").contains(&in_roff("--watch")));
    assert!(page("kyneta-uds-wire-decode.1").contains(&in_roff("--raw")));

    let end = start(&["man", "--dir", "/nowhere"]).finish();
    assert_eq!(end.code, 1);
    assert!(end.stderr.contains("/nowhere"), "{}", end.stderr);
}
