//! How what was made comes to the client: through the daemon that it lends, or else by a connection of Nix's.

use super::link::{Daemon, Forwarding, Link};
use super::{Builder, events};
use crate::stubs::Run;

const LENT: &str = "build --eval-on builder";

fn builder() -> Option<Builder> {
    let builder = Builder::new()?;
    builder.configure("motd = builtins.readFile ./motd;");
    builder.write("client/nixos/motd", "good morning");
    builder.stub("nix", "");
    Some(builder)
}

/// Calls of the client's Nix that fetch.
fn fetches(builder: &Builder) -> usize {
    let calls = builder.calls();
    calls
        .iter()
        .filter(|call| call.contains("ssh-ng://") || call.contains("ssh://") || call.starts_with("nix-copy-closure "))
        .count()
}

fn succeeds(builder: &Builder, link: &Link) -> (Run, String) {
    let (run, said) = builder.run(LENT);
    assert_eq!(run.code, 0, "{}{said}", run.stderr);
    builder.nothing_is_left();
    assert!(link.left().is_empty());
    (run, said)
}

#[test]
fn what_was_built_comes_to_the_lent_daemon() {
    let Some(builder) = builder() else { return };
    let link = Link::new(&builder, Forwarding::Private, Daemon::Takes);
    let (run, said) = succeeds(&builder, &link);
    assert_eq!(events(&said, "copied"), [""]);
    assert_eq!(fetches(&builder), 0, "{:?}", builder.calls());
    let arrived = link.arrived();
    assert_eq!(arrived.len(), 1, "{arrived:?}");
    assert!(
        arrived[0].starts_with(&format!("{} ", run.stdout.trim_end())),
        "{arrived:?}"
    );
    assert!(
        arrived[0].contains("read /client/nixos/motd: good morning\n"),
        "{arrived:?}"
    );
}

/// Where no socket can be had over there, or one that others could use, it is fetched, and the daemon hears nothing.
#[test]
fn without_a_socket_of_its_own_it_is_fetched() {
    for (forwarding, warning) in [(Forwarding::Forbidden, false), (Forwarding::Open, true)] {
        let Some(builder) = builder() else { return };
        let link = Link::new(&builder, forwarding, Daemon::Takes);
        let (run, said) = succeeds(&builder, &link);
        assert_eq!(events(&said, "no-socket"), [""]);
        let told = run
            .stderr
            .contains("others could use the socket that sshd makes here (StreamLocalBindMask)");
        assert_eq!(told, warning, "{}", run.stderr);
        assert_eq!(fetches(&builder), 1, "{:?}", builder.calls());
        assert_eq!(link.arrived(), [""; 0]);
    }
}

#[test]
fn a_daemon_that_dies_in_the_midst_of_it() {
    let Some(builder) = builder() else { return };
    let link = Link::new(&builder, Forwarding::Private, Daemon::Dies(10));
    let (run, said) = builder.run(LENT);
    assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{}{said}", run.stderr);
    assert_eq!(events(&said, "failed"), ["copy 1"]);
    assert!(
        run.stderr.contains("Nix daemon disconnected unexpectedly"),
        "{}",
        run.stderr
    );
    assert_eq!(link.arrived().len(), 1);
    builder.nothing_is_left();
}

/// If the link breaks while the result comes, what was built is not lost: it is fetched by a connection of its own.
#[test]
fn a_link_that_breaks_in_the_midst_of_it() {
    let Some(builder) = builder() else { return };
    let _link = Link::new(&builder, Forwarding::Private, Daemon::Waits);
    let run = builder.start(LENT);
    builder.wait_until("the copy", || builder.said().contains("@rebuild copying"));
    builder.break_links();
    let run = run.finish();
    assert_eq!(run.code, 0, "{}{}", run.stderr, builder.said());
    assert_eq!(fetches(&builder), 1, "{:?}", builder.calls());
    assert_eq!(builder.builds(), 1);
    assert_eq!(events(&builder.said(), "evaluated").len(), 1);
    builder.wait_until("the logins to end", || builder.logins_are_over());
    builder.nothing_is_left();
}
