//! The table itself. README.md has the same rows, which `tests/documents.rs` holds against these.

use super::{About, Condition, Row};

/// What is said of a condition that has no row. A test sees to it that there is none.
pub(super) const NOTHING: About = about(Condition::Script, "", "", "");

/// All rows, in the order of README.md, which is roughly that of a run.
pub const ALL: &[Row] = &[
    Row {
        messages: &["no machine is named that evaluates or builds"],
        advice: "name one: `rebuild doctor --eval-on HOST`",
        about: Some(about(
            Condition::Named,
            "named",
            "a machine that evaluates",
            "another machine with Nix, for this once: rebuild doctor --eval-on HOST\n\
             for good, in /etc/rebuild.json:  { \"evalHost\": \"HOST\" }   (with the module: programs.rebuild.evalHost)\n\
             or, if this machine is to do all by itself: rebuild doctor --eval-on ''",
        )),
    },
    Row {
        messages: &["…: command not found"],
        advice: "this machine needs Nix and ssh; with sudo, use `sudo -i`",
        about: Some(about(
            Condition::Programs,
            "programs",
            "Nix and ssh on this machine",
            "this machine needs Nix and ssh; is PATH set? with sudo: sudo -i",
        )),
    },
    Row {
        messages: &["no machine is known by the name 'builder'"],
        advice: "spelling, or `HostName` in `~/.ssh/config`",
        about: Some(about(
            Condition::Name,
            "name",
            "its name",
            "check the spelling, or name its address in ~/.ssh/config:\n\
               \x20 Host {it}\n\
                 \x20   HostName ADDRESS",
        )),
    },
    Row {
        messages: &["no name server answers this machine"],
        advice: "does this machine have a network?",
        about: Some(about(
            Condition::NameServer,
            "name-server",
            "a name server",
            "has it a network? try: getent hosts {it}\n\
             or name the address itself in ~/.ssh/config:\n\
               \x20 Host {it}\n\
                 \x20   HostName ADDRESS",
        )),
    },
    Row {
        messages: &["this machine has no network interface '…'"],
        advice: "`ip link` shows which there are",
        about: Some(about(
            Condition::Interface,
            "interface",
            "the network interface",
            "see which there are: ip link",
        )),
    },
    Row {
        messages: &["builder cannot be reached"],
        advice: "is it on, does sshd run, is the port right? The message has the command for doing it here",
        about: Some(about(
            Condition::Reached,
            "reached",
            "reached by ssh",
            "is it on, and does sshd run there? try: ssh {ssh} true",
        )),
    },
    Row {
        messages: &["builder refuses this user's keys"],
        advice: "`ssh-copy-id builder` as the user who runs `rebuild`; with `sudo` that is root",
        about: Some(about(
            Condition::Keys,
            "keys",
            "accepts this user's key",
            "as the user that runs rebuild: ssh-copy-id {ssh}\n\
             and then try: ssh {ssh} true",
        )),
    },
    Row {
        messages: &["the host key of builder is unknown or has changed"],
        advice: "`ssh builder` once, as that user",
        about: Some(about(
            Condition::HostKey,
            "host-key",
            "its host key",
            "look at it once, as the user that runs rebuild: ssh {ssh}",
        )),
    },
    Row {
        messages: &["builder does not run our script"],
        advice: "its login shell must start commands: `ssh builder /bin/sh -c true`",
        about: Some(about(
            Condition::Script,
            "script",
            "runs our script",
            "its login shell may not start commands; try: ssh {ssh} /bin/sh -c true",
        )),
    },
    Row {
        messages: &["large packets do not come through"],
        advice: "some link on the way takes only smaller ones: `ip link set DEVICE mtu 1280` on either side",
        about: Some(about(
            Condition::LargePackets,
            "large-packets",
            "large packets",
            "a link on the way (a VPN, PPPoE, a tunnel) takes only smaller packets than it says\n\
             for this once, as root on this machine: ip link set DEVICE mtu 1280   (DEVICE: ip route get ADDRESS)\n\
             for good: the same MTU in the settings of that link, or ICMP let through by the firewalls on the way",
        )),
    },
    Row {
        messages: &["the clocks differ by …"],
        advice: "`timedatectl set-ntp true` on the machine whose clock is wrong",
        about: Some(about(
            Condition::Clock,
            "clock",
            "the clock",
            "on the machine whose clock is wrong: timedatectl set-ntp true   (NixOS: services.timesyncd.enable = true;)",
        )),
    },
    Row {
        messages: &["builder has no Nix, …"],
        advice: "`ssh builder nix-store --version` must work",
        about: Some(about(
            Condition::Nix,
            "nix",
            "Nix",
            "install it there (nixos.org/download), then try: ssh {ssh} nix-store --version",
        )),
    },
    Row {
        messages: &["the user of builder may not use the Nix there"],
        advice: "on Debian, add them to the group `nix-users`. Or Nix there belongs to another user alone. Or its daemon does not run",
        about: Some(about(
            Condition::Daemon,
            "daemon",
            "Nix's daemon",
            "see what Nix says there: ssh {ssh} NIX_REMOTE=daemon nix-store --check-validity --print-invalid /nix/store/00000000000000000000000000000000-x\n\
             its allowed-users must have the user or a group of it (on NixOS nix.settings.allowed-users); on Debian only members of nix-users may: adduser USER nix-users\n\
             if its daemon does not run: systemctl start nix-daemon.socket\n\
             if Nix is another user's alone, log in as that one, or install it for all users (with the daemon)",
        )),
    },
    Row {
        messages: &["Nix on builder does not build for aarch64-linux"],
        advice: "step 3 above; the message has the lines",
        about: Some(about(
            Condition::Platform,
            "platform",
            "builds for the target's system",
            "there, if it is NixOS:  boot.binfmt.emulatedSystems = [ \"{system}\" ];\n\
             elsewhere:  apt install qemu-user-static   (or your distribution's qemu-user with binfmt)\n\
             and in its /etc/nix/nix.conf:  extra-platforms = {system}\n\
             and then:  systemctl restart nix-daemon",
        )),
    },
    Row {
        messages: &["builder has no emulator for …"],
        advice: "the same",
        about: Some(about(
            Condition::Emulator,
            "emulator",
            "runs the target's CPU",
            "there, if it is NixOS:  boot.binfmt.emulatedSystems = [ \"{system}\" ];\n\
             elsewhere:  apt install qemu-user-static   (or your distribution's qemu-user with binfmt)\n\
             and in its /etc/nix/nix.conf:  extra-platforms = {system}\n\
             and then:  systemctl restart nix-daemon",
        )),
    },
    Row {
        messages: &["Nix on builder builds nothing: it may start no job"],
        advice: "`--max-jobs auto`, or `max-jobs = auto` in its nix.conf",
        about: Some(about(
            Condition::Jobs,
            "jobs",
            "may start builds",
            "for this once: --max-jobs auto\n\
             for good, in its /etc/nix/nix.conf: max-jobs = auto\n\
             or let {host} send builds on: /etc/nix/machines there",
        )),
    },
    Row {
        messages: &["the post-build-hook of Nix on builder fails"],
        advice: "see to that program: `nix show-config` there names it",
        about: Some(about(
            Condition::Hook,
            "post-build-hook",
            "what runs after each build",
            "see to that program; it is named by: ssh {ssh} nix show-config",
        )),
    },
    Row {
        messages: &["builder cannot build: a file system that Nix writes to is read-only there"],
        advice: "`ssh builder mount` shows which",
        about: Some(about(
            Condition::Writable,
            "writable",
            "its file systems",
            "see which: ssh {ssh} mount",
        )),
    },
    Row {
        messages: &["Nix on builder has no users to build as"],
        advice: "the group of `build-users-group` needs members",
        about: Some(about(
            Condition::BuildUsers,
            "build-users",
            "users to build as",
            "the group that build-users-group names in its /etc/nix/nix.conf needs members: nixos.org/manual/nix, \"Multi-User Mode\"",
        )),
    },
    Row {
        messages: &["builder failed to build a test program"],
        advice: "Nix's own words stand above it",
        about: Some(about(
            Condition::Builds,
            "builds",
            "builds a test program",
            "try a build there: ssh {ssh} nix-build --check '<nixpkgs>' -A hello",
        )),
    },
    Row {
        messages: &["Nix on builder lacks the feature …"],
        advice: "`system-features` in its nix.conf; `kvm` needs /dev/kvm there. Not the CPU is missing",
        about: Some(about(
            Condition::Features,
            "features",
            "features of builds",
            "there, if it is NixOS:  nix.settings.extra-system-features = \"{it}\";\n\
             elsewhere, in its /etc/nix/nix.conf:  extra-system-features = {it}\n\
             and then:  systemctl restart nix-daemon\n\
             kvm also needs /dev/kvm there, which a virtual machine has only with nested virtualisation",
        )),
    },
    Row {
        messages: &["builder has no room to build in"],
        advice: "`ssh builder df -h /nix /tmp /var/tmp`; `nix-collect-garbage -d` there",
        about: Some(about(
            Condition::BuildRoom,
            "build-room",
            "room to build in",
            "is its disk full? see: ssh {ssh} df -h /nix /tmp /var/tmp\n\
             to make room there: nix-collect-garbage -d",
        )),
    },
    Row {
        messages: &["builder has no room for what an evaluation there reads and writes"],
        advice: "`ssh builder df -h /dev/shm /var/tmp .cache`",
        about: Some(about(
            Condition::Room,
            "room",
            "room to evaluate in",
            "is its disk full? see: ssh {ssh} df -h /dev/shm /var/tmp .cache",
        )),
    },
    Row {
        messages: &["builder cannot make its working directory"],
        advice: "its user needs a home that may be written to, or `XDG_CACHE_HOME`",
        about: Some(about(
            Condition::Cache,
            "cache",
            "its cache",
            "what stands above says why: files go to ~/.cache/rebuild there, so its user must have a home that may be written to, or XDG_CACHE_HOME\n\
             is its disk full? see: ssh {ssh} df -h .cache",
        )),
    },
    Row {
        messages: &["builder has no tar"],
        advice: "install it there",
        about: Some(about(
            Condition::Tar,
            "tar",
            "tar",
            "install it there, or see to the PATH of its logins: ssh {ssh} command -v tar",
        )),
    },
    Row {
        messages: &["builder does not let its users make user namespaces"],
        advice: "this time this machine evaluates; the message names the sysctl to set on the builder",
        about: Some(about(
            Condition::Namespaces,
            "namespaces",
            "user namespaces",
            "to change it, as root on {host}: sysctl kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0 user.max_user_namespaces=10000\n\
             (those that it has; or let its user run sudo without a password)",
        )),
    },
    Row {
        messages: &["the file system of ~/.cache on builder notes no access times"],
        advice: "nothing fails, but more rounds may be needed: mount it without `noatime`",
        about: Some(about(
            Condition::AccessTimes,
            "access-times",
            "access times",
            "it is mounted with noatime: without that option an evaluation needs fewer rounds\n\
             or let what is kept lie elsewhere there: XDG_CACHE_HOME",
        )),
    },
    Row {
        messages: &["warning: Nix 2.8.0 on builder does not notice when it asks for a file that was not sent"],
        advice: "install strace there, or Nix 2.26 or newer; or compare: `--verify-eval`",
        about: Some(about(
            Condition::Noticed,
            "noticed",
            "files that were not sent",
            "install strace there, or Nix 2.26 or newer; or compare: --verify-eval",
        )),
    },
    Row {
        messages: &["builder does not forward sockets"],
        advice: "nothing fails: the result is fetched by a second login. To spare it: `restrict,port-forwarding` for the key, `AllowTcpForwarding yes`",
        about: Some(about(
            Condition::Forwarding,
            "forwarding",
            "forwards a socket",
            "nothing fails, but the result is fetched by a second login. To spare it:\n\
             in ~/.ssh/authorized_keys there: restrict,port-forwarding before the key, and not restrict alone\n\
             in its sshd_config: AllowTcpForwarding and AllowStreamLocalForwarding yes",
        )),
    },
    Row {
        messages: &[
            "<nixpkgs> is not in the Nix search path of this user",
            "no configuration: neither NIXOS_CONFIG nor …",
            "the configuration … does not exist",
        ],
        advice: "with sudo, use `sudo -i`; or add `-I nixpkgs=PATH`, `-I nixos-config=PATH`",
        about: Some(about(
            Condition::Configuration,
            "configuration",
            "the configuration",
            "is NIX_PATH set? with sudo: sudo -i\n\
             or name it: -I nixpkgs=PATH -I nixos-config=PATH, --flake PATH or --file FILE",
        )),
    },
    Row {
        messages: &["… names /usr/lib/x: an evaluation elsewhere sees that machine's own there"],
        advice: "copy it to another directory, for example /etc/nixos; or use `--eval-on ''`",
        about: None,
    },
    Row {
        messages: &["'localhost' is another machine here: ssh leads it …"],
        advice: "use `''` if you mean this machine",
        about: None,
    },
    Row {
        messages: &["… asks for the environment variable X, which may be a secret"],
        advice: "`--send-env X`, or `env -u X rebuild …`",
        about: None,
    },
    Row {
        messages: &["git tracks X, which is a secret of this machine …"],
        advice: "take it out of the repository; the message has the command. Or use `--eval-on ''`",
        about: None,
    },
    Row {
        messages: &["… has changed while it was read"],
        advice: "run it again when nothing writes there",
        about: None,
    },
    Row {
        messages: &["builder says '…' out of turn: that is not taken"],
        advice: "run it again; if it stays so, something else than our script answers there",
        about: None,
    },
    Row {
        messages: &["builder → this machine: it did not arrive whole"],
        advice: "run it again: what has come is kept. If `lacks a signature` stands before it, use `--sudo`",
        about: None,
    },
    Row {
        messages: &["builder ends what me leaves running at the logout …"],
        advice: "there, as root: `loginctl enable-linger me`, or `KillUserProcesses=no` in its logind.conf",
        about: Some(about(
            Condition::Logout,
            "logout",
            "work that outlives the login",
            "as root there: loginctl enable-linger {it} (if users have a D-Bus of their own there, as on NixOS)\n\
             or KillUserProcesses=no in its logind.conf",
        )),
    },
    Row {
        messages: &["nix-build was killed: probably … out of memory"],
        advice: "`--eval-on HOST`",
        about: None,
    },
    Row {
        messages: &["Nix on builder was killed", "builder has only … MiB of memory"],
        advice: "it has too little memory: give it more memory or swap, or use `--max-jobs 1`, or another machine",
        about: Some(about(
            Condition::Memory,
            "memory",
            "memory",
            "more memory or swap for it, fewer builds at once (--max-jobs 1), or another machine: --eval-on HOST",
        )),
    },
    Row {
        messages: &[
            "only root can activate …",
            "me is not root on …",
            "me cannot become root by sudo on …",
        ],
        advice: "`--sudo`, or `root@`; `-S` if it wants a password; otherwise it is not allowed there",
        about: Some(about(
            Condition::Root,
            "root",
            "root there",
            "add --sudo, or log in as root there; with -S, rebuild asks for sudo's password once",
        )),
    },
    Row {
        messages: &["the password is wrong, or me may not become root …"],
        advice: "nothing was changed; try once more",
        about: None,
    },
    Row {
        messages: &["… goes on: waiting for its end"],
        advice: "another change of that machine; Ctrl-C stops the waiting",
        about: None,
    },
    Row {
        messages: &["an activation is under way … started by something else"],
        advice: "for example nixos-rebuild's; run it again when that has ended",
        about: None,
    },
    Row {
        messages: &["a change of X cannot be noted in /var/lib/rebuild"],
        advice: "the disk of X is full or read-only; nothing was changed",
        about: Some(about(
            Condition::State,
            "state",
            "notes of a change",
            "is its disk full or read-only? see: df /var/lib/rebuild",
        )),
    },
    Row {
        messages: &["X has no room for a new system in /nix/store"],
        advice: "`nix-collect-garbage -d` there, as root",
        about: Some(about(
            Condition::StoreRoom,
            "store-room",
            "room for a new system",
            "to make room there, as root: nix-collect-garbage -d",
        )),
    },
    Row {
        messages: &["X has no room for another kernel in /boot"],
        advice: "fewer generations: `boot.loader.….configurationLimit`, `nix-collect-garbage -d`, then `rebuild boot`",
        about: Some(about(
            Condition::BootRoom,
            "boot-room",
            "room for kernels",
            "as root there: nix-collect-garbage -d, and then: rebuild boot\n\
             for good: boot.loader.systemd-boot.configurationLimit = 5;   (or that of your boot loader)",
        )),
    },
    Row {
        messages: &["X is not a NixOS system"],
        advice: "the configuration sets `system.build.toplevel`, or `--store-path` is something else",
        about: Some(about(
            Condition::NixOs,
            "nixos",
            "NixOS",
            "the machine that is changed must run NixOS: nixos.org/manual/nixos, \"Installing from another Linux distribution\"\n\
             or is another one meant? --target-host HOST",
        )),
    },
    Row {
        messages: &["switch on … failed with exit status 4"],
        advice: "the system is changed, but units failed: `systemctl --failed` there",
        about: None,
    },
    Row {
        messages: &["the connection to builder broke, nothing was changed here"],
        advice: "run the same command again",
        about: None,
    },
    Row {
        messages: &["target does not come back …: the change goes on there by itself"],
        advice: "the same command again says what it came to",
        about: None,
    },
    Row {
        messages: &["/etc/rebuild.json, line 2, column 12: …", "… is not obeyed"],
        advice: "see `man rebuild.json`; only its owner may be able to write the file",
        about: None,
    },
    Row {
        messages: &["--ask: there is no terminal to ask on"],
        advice: "use `--no-ask`; `rebuild build --diff` shows the same",
        about: None,
    },
];

const fn about(condition: Condition, word: &'static str, title: &'static str, remedy: &'static str) -> About {
    About {
        condition,
        word,
        title,
        remedy,
    }
}
