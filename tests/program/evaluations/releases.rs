//! A channel of the client that is a release, which the builder fetches itself.

use super::{BUILD, Builder};

const NAME: &str = "nixos-26.11.1234.abcdef0";

/// Where the release is, below the site.
const PLACE: &str = "nixos/26.11/nixos-26.11.1234.abcdef0";

/// A client with a channel, as its Nix has unpacked it, of which the configuration reads a file; and a site without anything.
/// The name of the store path.
fn with_channel(builder: &Builder) -> String {
    let path = builder.sh(&format!(
        "mkdir -p made/{NAME} store builder/nix/site; cd made
         echo inner >{NAME}/file; printf 26.11 >{NAME}/.version; printf .1234.abcdef0 >{NAME}/.version-suffix; ln -s . {NAME}/nixpkgs
         tar -cf nixexprs.tar.xz {NAME}
         nix=$(echo $PWD/../builder/nix/store/*-nix-2*/bin); export IN_STORE=$PWD/../store
         hash=$(sha256sum <nixexprs.tar.xz | cut -c 1-32 | tr e z)
         drv=$($nix/nix-instantiate --argstr name {NAME} --argstr channelName nixos --argstr src /nix/store/$hash-nixexprs.tar.xz \
            --expr builtin:unpack-channel)
         mv ../store/*.drv here.drv; sed -i \"s:/nix/store/$hash-:$PWD/:\" here.drv
         $nix/nix-store --realise here.drv; rmdir ../store/.unpacked"
    ));
    let name = path.trim_end().trim_start_matches("/nix/store/").to_owned();
    builder.configure(&format!("x = builtins.readFile /nix/store/{name}/nixos/file;"));
    let here = Builder::program_here("nix-store");
    builder.stub("nix-store", &format!("case $1 in --query) {here} ;; esac"));
    name
}

/// The site has the tarball at this place.
fn publish(builder: &Builder, place: &str) {
    builder.sh(&format!(
        "mkdir -p builder/nix/site/{place}; cp made/nixexprs.tar.xz builder/nix/site/{place}/"
    ));
}

/// Until nothing is left of a run whose client has gone.
fn is_over(builder: &Builder) {
    let left = "ls -d builder/shm/* builder/home/.cache/rebuild/*/run.* 2>/dev/null || :";
    builder.wait_until("the end", || builder.sh(left).is_empty());
    builder.nothing_is_left();
}

fn asked(builder: &Builder) -> Vec<String> {
    let asked = builder.sh("cat builder/nix/store/asked 2>/dev/null || :");
    asked.lines().map(str::to_owned).collect()
}

fn address(place: &str) -> String {
    format!("https://releases.nixos.org/{place}/nixexprs.tar.xz")
}

#[test]
fn it_comes_from_the_site_and_not_from_the_client() {
    let Some(builder) = Builder::new() else { return };
    let name = with_channel(&builder);
    publish(&builder, PLACE);
    let evaluated = builder.evaluates();
    assert_eq!(evaluated.events("fetching"), [name.as_str()], "{}", evaluated.said);
    assert!(evaluated.events("fetched")[0].starts_with(&format!("{name} sha256:")));
    assert_eq!(evaluated.events("need"), [""]);
    evaluated.has_seen(&format!("read /nix/store/{name}/nixos/file: inner"));
    assert_eq!(asked(&builder), [address(PLACE)]);
    let text = format!("builder fetches {NAME} itself: it need not be sent");
    assert!(evaluated.run.stderr.contains(&text), "{}", evaluated.run.stderr);

    // Its root keeps it, and nothing is asked for any more.
    let root = builder.sh(&format!("readlink builder/home/.cache/rebuild/*/releases/{name}/root"));
    assert_eq!(root.trim_end(), format!("/nix/store/{name}"));
    let again = builder.evaluates();
    assert_eq!((again.events("fetching"), again.events("need")), (vec![], vec![""]));
    assert_eq!(again.run.stdout, evaluated.run.stdout);
}

#[test]
fn the_small_channel_has_an_address_of_its_own() {
    let Some(builder) = Builder::new() else { return };
    let name = with_channel(&builder);
    let small = PLACE.replace("26.11/", "26.11-small/");
    publish(&builder, &small);
    // The larger one has another tarball of that name.
    builder.write(&format!("builder/nix/site/{PLACE}/nixexprs.tar.xz"), "another");
    let evaluated = builder.evaluates();
    assert!(evaluated.events("fetched")[0].starts_with(&name), "{}", evaluated.said);
    assert_eq!(asked(&builder), [address(PLACE), address(&small)]);
}

/// It is sent as ever, and for a day it is not looked for again.
#[test]
fn what_is_not_there_is_sent() {
    let Some(builder) = Builder::new() else { return };
    let name = with_channel(&builder);
    let evaluated = builder.evaluates();
    assert_eq!(evaluated.events("need"), [name.as_str()], "{}", evaluated.said);
    evaluated.has_seen(&format!("read /nix/store/{name}/nixos/file: inner"));
    let stderr = &evaluated.run.stderr;
    assert!(
        stderr.contains("builder could not fetch it, so it is sent: unable to download"),
        "{stderr}"
    );
    assert_eq!(asked(&builder).len(), 2);
    // How much there is to send is asked for, and nothing else.
    assert!(
        builder
            .calls()
            .contains(&format!("nix-store --query --size /nix/store/{name}")),
        "{:?}",
        builder.calls()
    );

    builder.sh("chmod -R u+w builder/home/.cache/rebuild; rm -r builder/home/.cache/rebuild/*/trees/*");
    let again = builder.evaluates();
    assert_eq!(
        (again.events("fetching"), again.events("need")),
        (vec![], vec![name.as_str()])
    );
    builder.sh(
        "chmod -R u+w builder/home/.cache/rebuild; rm -r builder/home/.cache/rebuild/*/trees/*
        touch -d '2 days ago' builder/home/.cache/rebuild/*/releases/*/failed",
    );
    publish(&builder, PLACE);
    assert_eq!(builder.evaluates().events("need"), [""]);
}

#[test]
fn without_a_network_one_address_is_enough() {
    let Some(builder) = Builder::new() else { return };
    let name = with_channel(&builder);
    publish(&builder, PLACE);
    builder.write("builder/nix/no-network", "");
    let evaluated = builder.evaluates();
    assert_eq!(evaluated.events("need"), [name.as_str()], "{}", evaluated.said);
    assert_eq!(asked(&builder), [address(PLACE)]);
}

/// Whatever else is at the address is not unpacked.
#[test]
fn another_tarball_is_not_taken() {
    let Some(builder) = Builder::new() else { return };
    let name = with_channel(&builder);
    builder.sh("cd made && echo evil >$(echo nixos-*)/file && tar -cf nixexprs.tar.xz nixos-*");
    publish(&builder, PLACE);
    let evaluated = builder.evaluates();
    assert_eq!(evaluated.events("need"), [name.as_str()], "{}", evaluated.said);
    assert!(
        evaluated
            .run
            .stderr
            .contains("could not fetch it, so it is sent: what is there is another one")
    );
    evaluated.has_seen(&format!("read /nix/store/{name}/nixos/file: inner"));
    assert_eq!(
        builder.sh("ls builder/nix/store | grep -c 'nixos-26.11.1234.abcdef0$' || :"),
        "0\n"
    );
}

/// What has come has the hash that this machine's Nix knows, or nothing is made of it.
#[test]
fn another_content_ends_the_run() {
    let Some(builder) = Builder::new() else { return };
    let name = with_channel(&builder);
    publish(&builder, PLACE);
    builder.write("builder/nix/another", "");
    let (run, said) = builder.run(BUILD);
    assert_eq!(run.code, 1, "{said}");
    assert!(
        run.stderr
            .contains("it is not what this machine has there, whose hash is sha256:"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr.contains(&format!("nix-store --delete /nix/store/{name}")),
        "{}",
        run.stderr
    );
    assert!(!said.contains("@rebuild evaluated"), "{said}");
    is_over(&builder);
    // The same command again: it is there now, and still another one.
    let (run, said) = builder.run(BUILD);
    assert_eq!(run.code, 1, "{}{said}", run.stderr);
    assert!(
        run.stderr.contains("it is not what this machine has there"),
        "{}",
        run.stderr
    );
    assert!(!said.contains("@rebuild evaluated"), "{said}");
    is_over(&builder);
}

/// The site may be another one, or none.
#[test]
fn the_site_is_a_setting() {
    let Some(builder) = Builder::new() else { return };
    let name = with_channel(&builder);
    publish(&builder, PLACE);
    let (run, said) = builder.run(&format!("{BUILD} --release-site="));
    let evaluated = builder.has_evaluated(run, said);
    assert_eq!(
        (evaluated.events("fetching"), evaluated.events("need")),
        (vec![], vec![name.as_str()])
    );
    builder.sh("chmod -R u+w builder/home/.cache/rebuild; rm -r builder/home/.cache/rebuild/*/trees/*");
    let (run, said) = builder.run(&format!("{BUILD} --release-site http://mirror.lan"));
    assert_eq!(builder.has_evaluated(run, said).events("need"), [""]);
    assert_eq!(asked(&builder), [format!("http://mirror.lan/{PLACE}/nixexprs.tar.xz")]);
}

/// A link that breaks meanwhile ends the fetching, and leaves nothing of the run.
#[test]
fn a_link_that_breaks_ends_it() {
    let Some(builder) = Builder::new() else { return };
    with_channel(&builder);
    publish(&builder, PLACE);
    builder.sh("mkfifo -m 666 builder/nix/store/hold-fetch");
    let run = builder.start(&format!("{BUILD} --reconnect-timeout 0"));
    builder.wait_for_evaluations(1);
    builder.break_links();
    assert_eq!(run.finish().code, 255);
    is_over(&builder);
}
