//! The command line: what each command is for, with examples. Its options are in the command's folder.
//!
//! Pure values of clap: nothing is opened while options are read. The texts of `--help`, the completions and the
//! manual pages are all made of it.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueHint};
use clap_complete::Shell;

use crate::{
    bench::BenchArgs,
    bus::{BusArgs, SendArgs, TapArgs, WhoArgs},
    member::{ConnectArgs, DocArgs, ExchangeArgs, ListenArgs, PeerArgs},
    status::StatusArgs,
    wire::WireCommand,
};

/// Exchange messages on a socket path, show its status, decode its bytes, measure it.
#[derive(Debug, Parser)]
#[command(
    name = "kyneta-uds",
    version,
    propagate_version = true,
    max_term_width = 100,
    after_help = "Examples:
  kyneta-uds demo                                      see four processes talk, and one crash
  kyneta-uds peer /tmp/bus.sock                        the first one listens, the others connect to it
  kyneta-uds listen /tmp/bus.sock --echo               a server that returns each offer
  kyneta-uds connect /tmp/bus.sock                     a client, its messages from stdin
  kyneta-uds bus /tmp/chat.sock                        a member of a bus of lines or JSON values
  kyneta-uds status /tmp/status.sock                   the state of a process started with --status
  kyneta-uds wire decode --raw < captured.bin          bytes from the wire as messages
  kyneta-uds bench                                     the cost of a message on this machine"
)]
pub(crate) struct Cli {
    /// Log more on stderr: -v progress, -vv details, -vvv everything (RUST_LOG selects by module)
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Join a path: the first process listens, the others connect, and one takes over
    #[command(after_help = "Examples:
  kyneta-uds peer /tmp/bus.sock
  kyneta-uds peer /run/app/bus.sock --id billing-1 --echo --json
  kyneta-uds peer /tmp/bus.sock --status /tmp/status.sock
  kyneta-uds peer /tmp/bus.sock --mode 660 --max-queue 4096 < messages.jsonl

A line of stdin sends a message, to all peers or to one:
  {\"send\":{\"type\":\"dismiss\",\"docId\":\"d\"}}
  {\"send\":{\"type\":\"dismiss\",\"docId\":\"d\"},\"to\":\"peer-id\"}
  {\"quit\":true}")]
    Peer(PeerArgs),

    /// Show the public key of this machine; make its key file if there is none
    #[cfg(feature = "machines")]
    #[command(after_help = "Examples:
  kyneta-uds key /etc/app/machine.key

Other machines name it: kyneta-uds peer PATH --machine oslo=KEY@192.0.2.7:4500")]
    Key {
        /// The key file: made with the mode 0600
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },

    /// Let other machines reach a path of this one, whatever kind of process listens at it
    #[cfg(feature = "machines")]
    #[command(after_help = "Examples:
  kyneta-uds expose /run/app/bus.sock --machine-key oslo.key --machine-listen 192.0.2.7:4501 --allow-key KEY

It prints what the other machine gives to `kyneta-uds reach`, and where the path is.")]
    Expose(crate::splice::ExposeArgs),

    /// Have a path of another machine here: each connection to it goes on there
    #[cfg(feature = "machines")]
    #[command(after_help = "Examples:
  kyneta-uds reach KEY@192.0.2.7:4501 /run/app/bus.sock --machine-key rome.key

The other machine runs `kyneta-uds expose`, and allows the public part of this key.")]
    Reach(crate::splice::ReachArgs),

    /// Be a server: listen on a path and exchange messages with all clients
    #[command(after_help = "Examples:
  kyneta-uds listen /tmp/bus.sock
  kyneta-uds listen /run/app/bus.sock --mode 660 --echo --json
  kyneta-uds listen /run/app/bus.sock --mode 660 --group 33 --allow-uid 33
  echo '{\"send\":{\"type\":\"dismiss\",\"docId\":\"d\"}}' | kyneta-uds listen /tmp/bus.sock

Lines of stdin: see kyneta-uds peer --help.")]
    Listen(ListenArgs),

    /// Be a client: connect to a path and exchange messages with its server
    #[command(after_help = "Examples:
  kyneta-uds connect /tmp/bus.sock
  kyneta-uds connect /tmp/bus.sock --id shell-1 --json < messages.jsonl
  kyneta-uds connect /tmp/bus.sock --retries 3 --base-delay 100
  kyneta-uds connect @abstract-name --wire 2 --no-reconnect

Lines of stdin: see kyneta-uds peer --help.")]
    Connect(ConnectArgs),

    /// Be a member of a bus of JSON values: each message reaches each other member once
    #[command(after_help = "Examples:
  kyneta-uds bus /tmp/chat.sock --id ann               in several terminals: all read what each types
  kyneta-uds bus /tmp/chat.sock --json < commands.jsonl

A line of text is published as a string, and what comes in is printed as ID: TEXT. With --json, a line of stdin is
one of
  {\"publish\":VALUE}                                     to every other member
  {\"send\":VALUE,\"to\":ID}                              to one
  {\"request\":VALUE,\"to\":ID,\"id\":N,\"timeout_ms\":N?}  its answer is an event of that id
  {\"answer\":VALUE,\"id\":N} or {\"fail\":TEXT,\"id\":N}   to a request event of that id
  {\"quit\":true}
and a line of stdout is one of
  {\"event\":\"role\",\"role\":...}
  {\"event\":\"member\",\"id\":ID,\"change\":\"joined\"|\"left\",\"name\":TEXT?,\"pid\":N?,\"uid\":N?}
  {\"event\":\"message\",\"from\":ID,\"seq\":N,\"to\":\"all\"|\"me\",\"msg\":VALUE}
  {\"event\":\"request\",\"from\":ID,\"id\":N,\"msg\":VALUE}
  {\"event\":\"answer\",\"id\":N,\"msg\":VALUE} or {\"event\":\"answer\",\"id\":N,\"error\":TEXT}
  {\"event\":\"delivered\",\"seq\":N,\"missed\":[ID...]}    all up to seq are delivered, but to those that left
  {\"event\":\"missed\",\"from\":ID,\"count\":N}
  {\"event\":\"waiting\",\"why\":TEXT,\"for_ms\":N}
  {\"event\":\"error\",\"code\":CODE,\"message\":TEXT,\"peer\":ID?}")]
    Bus(BusArgs),

    /// Send one message to a bus, from a script: exit 0 when it is delivered
    #[command(after_help = "Examples:
  kyneta-uds send /tmp/chat.sock 'dinner is ready'
  kyneta-uds send /tmp/chat.sock @note.txt --to ann
  date | kyneta-uds send /tmp/chat.sock -
  kyneta-uds send /tmp/chat.sock 'how many?' --to stock --request --timeout 500

Exit 0 when each member has it (with --request: when it is answered), 1 when a member has left meanwhile or does
not answer, none is there, or the time is over.")]
    Send(SendArgs),

    /// Show the members of a bus or of a kyneta path, without joining it
    #[command(after_help = "Examples:
  kyneta-uds who /tmp/chat.sock
  kyneta-uds who /tmp/chat.sock --json | jq .id")]
    Who(WhoArgs),

    /// Show what passes on a bus or at a kyneta path, without joining it
    ///
    /// The bus never waits for a tap: it misses what it is too slow for, and says how many.
    #[command(after_help = "Examples:
  kyneta-uds tap /tmp/chat.sock
  kyneta-uds tap /tmp/chat.sock --json --count 10
  kyneta-uds tap /tmp/chat.sock --raw passed.bin; kyneta-uds wire decode --raw < passed.bin")]
    Tap(TapArgs),

    /// Take part in documents: read, edit and follow them, as a TypeScript Exchange does
    #[command(after_help = "Examples:
  kyneta-uds exchange /tmp/bus.sock --open config=json:config.json
  kyneta-uds exchange /run/app/bus.sock --id shell-1 --replicate --json
  echo '{\"doc\":\"config\",\"set\":[\"mode\",\"auto\"]}' | kyneta-uds exchange /tmp/bus.sock --open config=json:config.json

A schema is a JSON object: {\"k\":\"struct\",\"fields\":[[\"mode\",{\"k\":\"string\"}],[\"hits\",{\"k\":\"counter\"}]]}

Lines of stdin; PATH is \"a.b.c\", the names of fields, keys of records and indices of lists:
  {\"doc\":DOC,\"set\":[PATH,VALUE]}              {\"doc\":DOC,\"push\":[PATH,VALUE]}
  {\"doc\":DOC,\"insert\":[PATH,INDEX,VALUE]}     {\"doc\":DOC,\"delete\":[PATH,INDEX,COUNT]}
  {\"doc\":DOC,\"increment\":[PATH,N]}            {\"doc\":DOC,\"get\":true}
  {\"doc\":DOC,\"destroy\":true}                  {\"quit\":true}")]
    Exchange(ExchangeArgs),

    /// List the documents at a path, show one, set a field of it, or follow it
    ///
    /// A document is shown as the others have sent it; with its schema, fields that were never set are shown too.
    #[command(after_help = "Examples:
  kyneta-uds doc /tmp/bus.sock                             document, kind, schema hash and holders of each
  kyneta-uds doc /tmp/bus.sock config                      one as JSON
  kyneta-uds doc /tmp/bus.sock config mode --watch         a field, after each change
  kyneta-uds doc /tmp/bus.sock config mode dark --schema config.json")]
    Doc(DocArgs),

    /// Show the status of a running process: its role, peers, queues and error counts
    ///
    /// Asks at the socket that `peer`, `listen`, `connect` or `bus` was given with --status, or at the
    /// status endpoint of your own service, for 3 s at most. The protocol is HTTP, so curl works, too. At the socket of a
    /// bus or of a kyneta path it shows the members.
    #[command(after_help = "Examples:
  kyneta-uds status /tmp/status.sock
  kyneta-uds status /tmp/status.sock --watch
  kyneta-uds status /tmp/status.sock --json | jq .peers
  curl --unix-socket /tmp/status.sock http://localhost/status    or /metrics, or /healthz")]
    Status(StatusArgs),

    /// Convert between bytes on the wire and messages
    #[command(after_help = "Example:
  kyneta-uds wire decode --raw < captured.bin")]
    Wire {
        #[command(subcommand)]
        command: WireCommand,
    },

    /// Measure the cost of a message, compared with a bare socket
    #[command(
        args_conflicts_with_subcommands = true,
        after_help = "Examples:
  kyneta-uds bench
  kyneta-uds bench --work rtt --size 64 --pin same
  kyneta-uds bench --work rtt --pin split --spin 50
  kyneta-uds bench --work stream --work pipe --rounds 9 --json
  kyneta-uds bench --work fan --size 64 --size 1KiB"
    )]
    Bench(BenchArgs),

    /// Watch processes exchange messages on a socket of their own for a few seconds
    #[command(after_help = "Example:
  kyneta-uds demo")]
    Demo,

    /// Print the completions for a shell
    #[command(after_help = "Example:
  kyneta-uds completions bash > ~/.local/share/bash-completion/completions/kyneta-uds")]
    Completions {
        /// The shell
        shell: Shell,
    },

    /// Print the manual page, or write all pages to a directory
    #[command(after_help = "Examples:
  kyneta-uds man | man -l -
  kyneta-uds man --dir /usr/local/share/man/man1")]
    Man {
        /// Write the page of kyneta-uds and one page for each command to this directory
        #[arg(long, value_hint = ValueHint::DirPath)]
        dir: Option<PathBuf>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
