//! What a builder does not get, and how the run goes on then.

use super::Play;

/// A refusal comes in the middle of the talk.
#[test]
fn whoever_is_refused_is_left() {
    let play = Play::new(
        "E21",
        "hear_script; say hello /usr/bin x; say receiving none; hear_change >files.tar
         say need 00000000000000000000000000000000-other; exec sleep 1000",
    );
    play.fails("switch --eval-on builder --no-lend", "which it was not offered");
}

/// It may say that it fetches something itself only of what it was offered, and once.
#[test]
fn what_it_may_not_fetch() {
    let other = "00000000000000000000000000000000-nixos-26.11.1.abcdef0";
    for (says, error) in [
        (format!("fetching {other}"), "which it was not offered"),
        (format!("fetched {other} sha256:x"), "which it had not begun"),
        (format!("unfetched {other} no"), "which it had not begun"),
    ] {
        let acts = format!(
            "hear_script; say hello /usr/bin x; say receiving none; hear_change >files.tar
             say {says}; exec sleep 1000"
        );
        Play::new("D14", &acts).fails("switch --eval-on builder --no-lend", error);
    }
    let acts = format!("hear_script; say hello /usr/bin x; say fetching {other}; exec sleep 1000");
    Play::new("D14", &acts).fails("switch --eval-on builder --no-lend", "says 'fetching");
}

const RELEASE: &str = "00000000000000000000000000000000-nixos-26.11.1.abcdef0";

/// The configuration reads a channel that is a release, of which Nix here knows a hash.
fn with_release(says: &str) -> Play {
    let acts = format!(
        "hear_script; say hello /usr/bin x; say receiving none; hear_change >files.tar; say fetching {RELEASE}
         {says}; exec sleep 1000"
    );
    let play = Play::new("D14", &acts);
    let directory = format!("store/{RELEASE}/nixos");
    play.stage.write(&format!("{directory}/.version"), "26.11");
    play.stage.write(&format!("{directory}/.version-suffix"), ".1.abcdef0");
    play.stage
        .prepare("mkdir -p \"$root/nix/store\"; cp -a \"$stage/store\" \"$root/nix/\"");
    let text = format!("{{ x = import /nix/store/{RELEASE}/nixos; }}");
    play.stage.write("etc/nixos/configuration.nix", &text);
    play.stage.stub("nix-store", "[ \"$2\" != --hash ] || echo sha256:ours");
    play
}

#[test]
fn what_it_fetches_has_the_hash_that_is_known_here() {
    const LINE: &str = "switch --eval-on builder --no-lend";
    for (says, error) in [
        (format!("say fetching {RELEASE}"), "which it was not offered"),
        (format!("say fetched {RELEASE}"), "says 'fetched"),
        (
            format!("say fetched {RELEASE} sha256:theirs"),
            "has the hash sha256:theirs",
        ),
        (
            format!("say fetched {RELEASE} sha256:theirs"),
            "whose hash is sha256:ours",
        ),
        (
            format!("say unfetched {RELEASE}; say fetched {RELEASE} sha256:ours"),
            "which it had not begun",
        ),
        (
            format!("say unfetched {RELEASE}; say fetching {RELEASE}"),
            "which it was not offered",
        ),
        // It goes on with the right one.
        (
            format!("say fetched {RELEASE} sha256:ours; say need; say finished"),
            "says 'finished'",
        ),
    ] {
        with_release(&says).fails(LINE, error);
    }
    let orders = format!("say unfetched {RELEASE} $(printf '\\033[2J\\233x'); say need; say finished");
    let run = with_release(&orders).fails(LINE, "says");
    assert!(
        run.stderr.contains("could not fetch it") || run.stderr.contains("says 'unfetched"),
        "{}",
        run.stderr
    );
    assert!(!run.stderr.contains('\u{1b}'), "{}", run.stderr);
    let orders = format!("say unfetched {RELEASE} $(printf '\\033[2J'); say need; say finished");
    let run = with_release(&orders).fails(LINE, "says 'finished'");
    assert!(
        run.stderr.contains("could not fetch it, so it is sent: "),
        "{}",
        run.stderr
    );
    assert!(!run.stderr.contains('\u{1b}'), "{}", run.stderr);
    let ignorant = with_release(&format!("say fetched {RELEASE} sha256:ours"));
    ignorant.stage.stub("nix-store", "exit 1");
    ignorant.fails(LINE, "of which its Nix does not know the hash");
}
