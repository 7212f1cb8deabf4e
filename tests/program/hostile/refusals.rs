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
