//! Between two hosts as a person uses them: their own ssh with its configuration, and an sshd that listens.

mod support;

use std::os::unix::fs::symlink;

use careful::protocol::limits::{POOL_BYTES, RECEIVE_WINDOW_BYTES, SEND_WINDOW_BYTES};
use rustix::process::Signal;
use support::network::Host;
use support::ssh_hosts::SshHosts;
use support::{CHUNK, Ran, Running, kill, run, start, tree, wait_for, words, words_possible};

const NOTICE: &str = "no UDP between the hosts: using the ssh connection; the checks are the same";

/// Which side the person sits at.
#[derive(Clone, Copy, Debug)]
enum Way {
    Push,
    Pull,
}

const BOTH_WAYS: [Way; 2] = [Way::Push, Way::Pull];

/// Two hosts with the same tree at either home, to be carried to the other one.
struct Between {
    hosts: SshHosts,
}

impl Between {
    fn new() -> Option<Self> {
        Some(Self::on(SshHosts::pair()?))
    }

    fn on(hosts: SshHosts) -> Self {
        for home in ["one", "other"] {
            hosts.place.random(format!("{home}/src/large"), 5 * CHUNK + 7, 1);
            hosts.place.random(format!("{home}/src/below/small"), 100, 2);
            hosts.place.write(format!("{home}/src/empty"), b"");
        }
        Self { hosts }
    }

    /// Carries the tree to a new directory, with these options.
    fn carry(&self, way: Way, options: &[&str], name: &str) -> Ran {
        let there = format!("other:{name}");
        match way {
            Way::Push => run(&mut self.hosts.push(&[options, &["src/", &there]].concat())),
            Way::Pull => run(&mut self.hosts.pull(&[options, &["other:src/", name]].concat())),
        }
    }

    /// The copy is whole, and was proved as far as can be.
    #[track_caller]
    fn assert_carried(&self, way: Way, ran: &Ran, name: &str) {
        let [from, to] = match way {
            Way::Push => ["one", "other"],
            Way::Pull => ["other", "one"],
        };
        let to = self.hosts.place.path(to).join(name);
        assert_eq!(tree(&to), tree(&self.hosts.place.path(from).join("src")), "{way:?}: {ran:?}");
        assert_eq!(words(&ran.summary()), words_possible(&to), "{way:?}: {ran:?}");
    }
}

fn fell_back(ran: &Ran) -> bool {
    ran.stderr.contains(NOTICE) || ran.stdout.contains(NOTICE)
}

#[test]
fn a_tree_is_pushed_and_pulled_with_every_proof() {
    let Some(between) = Between::new() else { return };
    for way in BOTH_WAYS {
        let ran = between.carry(way, &[], "copy").exits(0);
        between.assert_carried(way, &ran, "copy");
        assert!(!fell_back(&ran), "{way:?}: {ran:?}");
        assert_eq!(ran.receipted().len(), 3);
        let again = between.carry(way, &[], "copy").exits(0);
        assert_eq!((again.count("unchanged_files"), again.count("sent_bytes")), (3, 0), "{way:?}: {again:?}");
    }
}

#[test]
fn where_udp_is_dropped_the_files_go_through_ssh() {
    let Some(between) = Between::new() else { return };
    drop_udp(&between.hosts);
    for way in BOTH_WAYS {
        let ran = between.carry(way, &[], "copy").exits(0);
        between.assert_carried(way, &ran, "copy");
        assert!(fell_back(&ran), "{way:?}: {ran:?}");
        let ran = between.carry(way, &["--transport", "quic"], "none").exits(35);
        assert!(ran.stderr.contains("no UDP comes through") && ran.stderr.contains("hint: let UDP through"), "{ran:?}");
        assert!(!between.hosts.place.has("one/none") && !between.hosts.place.has("other/none"));
    }
}

#[test]
fn a_firewall_at_either_host_that_lets_only_answers_pass_is_no_obstacle() {
    for host in [Host::One, Host::Other] {
        let Some(between) = Between::new() else { return };
        let rule = "in iif cable meta l4proto udp ct state new counter drop";
        between.hosts.firewall(host, &[rule]);
        for way in BOTH_WAYS {
            let ran = between.carry(way, &[], "copy").exits(0);
            between.assert_carried(way, &ran, "copy");
            assert!(!fell_back(&ran), "{host:?} {way:?}: {ran:?}");
        }
        // The firewall does hold: nobody is let in who was not called.
        let (caller, address) = match host {
            Host::One => (Host::Other, "10.77.0.1"),
            _ => (Host::One, "10.77.0.2"),
        };
        let dropped = || between.hosts.shell(host, "nft list chain inet careful in").exits(0).stdout;
        let before = dropped();
        between.hosts.shell(caller, &format!("bash -c 'echo > /dev/udp/{address}/9'"));
        assert_ne!(dropped(), before, "{host:?}");
    }
}

/// Long enough not to be over before something happened to it.
const LENGTH: usize = 160 * CHUNK;
/// So much is at the receiver when it happens.
const BEFORE: u64 = 8 * CHUNK as u64;

/// What may be sent again: full buffers of both sides and of the way between.
const IN_FLIGHT: u64 = (SEND_WINDOW_BYTES + RECEIVE_WINDOW_BYTES as u64) + POOL_BYTES as u64;

/// A large file on its way.
struct UnderWay {
    between: Between,
    way: Way,
    running: Running,
}

impl UnderWay {
    fn new(between: Between, way: Way, options: &[&str]) -> Self {
        between.hosts.place.random("one/large", LENGTH, 3);
        between.hosts.place.random("other/large", LENGTH, 3);
        let mut command = match way {
            Way::Push => between.hosts.push(&[options, &["large", "other:copy"]].concat()),
            Way::Pull => between.hosts.pull(&[options, &["other:large", "copy"]].concat()),
        };
        let mut under_way = Self { running: start(&mut command), between, way };
        wait_for("some data to arrive", || under_way.running.has_ended() || under_way.arrived() >= BEFORE);
        under_way
    }

    fn arrived(&self) -> u64 {
        let at = match self.way {
            Way::Push => Host::Other,
            Way::Pull => Host::One,
        };
        self.between.hosts.written(at)
    }

    /// Runs this in the middle of the transfer.
    fn change(&mut self, change: impl FnOnce(&SshHosts)) {
        change(&self.between.hosts);
        assert!(!self.running.has_ended() && self.arrived() < LENGTH as u64, "it was over too early to show anything");
    }

    /// How the program ended.
    fn ended(self) -> (Ran, Between) {
        (self.running.finish(), self.between)
    }

    /// How it ended; the copy is right if it was well.
    fn finish(self) -> Ran {
        let way = self.way;
        let (ran, between) = self.ended();
        if ran.code == 0 {
            let place = &between.hosts.place;
            let [one, other] = match way {
                Way::Push => ["one/large", "other/copy"],
                Way::Pull => ["other/large", "one/copy"],
            };
            assert!(place.read(one) == place.read(other), "{way:?}: {ran:?}");
        }
        ran
    }
}

/// What happens in the middle of a transfer.
type Change = fn(&SshHosts);

fn kill_ssh(hosts: &SshHosts) {
    hosts.running(Host::One, "ssh").into_iter().for_each(|ssh| kill(ssh, Signal::KILL));
}

fn kill_session(hosts: &SshHosts) {
    hosts.sessions(Host::Other).into_iter().for_each(|session| kill(session, Signal::KILL));
}

/// From now on no UDP passes.
fn drop_udp(hosts: &SshHosts) {
    let rules = ["in iif cable meta l4proto udp drop", "out oif cable meta l4proto udp drop"];
    hosts.firewall(Host::Other, &rules);
}

/// From now on no packet of ssh passes.
fn drop_ssh(hosts: &SshHosts) {
    hosts.firewall(Host::Other, &["in tcp dport 22 drop", "out tcp sport 22 drop"]);
}

/// The port at the first host of each connection of ssh.
fn connections(hosts: &SshHosts) -> Vec<String> {
    let told = hosts.shell(Host::Other, "ss -tnH state established sport = :22").exits(0).stdout;
    told.lines().filter_map(|line| Some(line.trim().rsplit(':').next()?.to_owned())).collect()
}

/// From now on no packet of the connections of ssh passes that there are, while new ones are let through: as when what lies
/// between has forgotten them.
fn forget_connections(hosts: &SshHosts) {
    let ports = connections(hosts);
    assert_eq!(ports.len(), 1);
    let rules = [
        format!("in tcp dport 22 tcp sport {} drop", ports[0]),
        format!("out tcp sport 22 tcp dport {} drop", ports[0]),
    ];
    hosts.firewall(Host::Other, &[&rules[0], &rules[1]]);
}

#[test]
fn a_connection_of_ssh_that_is_cut_costs_what_was_in_flight_and_nothing_else() {
    let cuts: [(&str, &str, Change); 4] = [
        ("quic", "ssh killed", kill_ssh),
        ("quic", "session killed", kill_session),
        ("ssh", "ssh killed", kill_ssh),
        ("ssh", "session killed", kill_session),
    ];
    for (transport, what, cut) in cuts {
        for way in BOTH_WAYS {
            let Some(between) = Between::new() else { return };
            let mut under_way = UnderWay::new(between, way, &["--transport", transport]);
            under_way.change(cut);
            let ran = under_way.finish().exits(0);
            // What a sender sent last before it was killed may be unknown to a receiver that pulls: then the rest is found.
            let [sent, found] = ["sent_bytes", "reused_bytes"].map(|field| ran.count(field));
            assert!(
                sent <= LENGTH as u64 + IN_FLIGHT && sent + found >= LENGTH as u64,
                "{transport} {way:?} {what}: {ran:?}"
            );
        }
    }
}

#[test]
fn a_transfer_by_quic_does_not_notice_that_ssh_falls_silent() {
    for way in BOTH_WAYS {
        let Some(between) = Between::new() else { return };
        let mut under_way = UnderWay::new(between, way, &[]);
        under_way.change(drop_ssh);
        let ran = under_way.finish().exits(0);
        assert_eq!(ran.count("sent_bytes"), LENGTH as u64, "{way:?}: {ran:?}");
        assert!(ran.events_of("notice").is_empty() && ran.stderr.is_empty(), "{way:?}: {ran:?}");
    }
}

#[test]
fn the_same_command_goes_on_after_a_cut_that_ended_the_first() {
    for way in BOTH_WAYS {
        let Some(between) = Between::new() else { return };
        let mut under_way = UnderWay::new(between, way, &["--retry-for", "0s"]);
        under_way.change(kill_ssh);
        let (ran, between) = under_way.ended();
        ran.exits(10);
        assert!(!between.hosts.place.has("one/copy") && !between.hosts.place.has("other/copy"));
        let ran = UnderWay::new(between, way, &[]).finish().exits(0);
        let [sent, found] = ["sent_bytes", "reused_bytes"].map(|field| ran.count(field));
        assert!(found > 0 && sent + found == LENGTH as u64, "{way:?}: {ran:?}");
    }
}

/// A way that is silent is given up after half a minute: so all cases wait at once.
#[test]
fn what_falls_silent_goes_on_through_ssh_or_by_another_ssh() {
    let cases: [(&str, Way, &str, Change); 7] = [
        ("UDP no longer passes", Way::Push, "auto", drop_udp),
        ("UDP no longer passes", Way::Pull, "auto", drop_udp),
        ("forgotten", Way::Push, "ssh", forget_connections),
        ("forgotten", Way::Pull, "ssh", forget_connections),
        ("another address there", Way::Push, "ssh", move_there),
        ("another address there", Way::Pull, "ssh", move_there),
        ("another address here", Way::Push, "ssh", move_here),
    ];
    let mut all = Vec::new();
    for (what, way, transport, change) in cases {
        let Some(between) = Between::new() else { return };
        let mut under_way = UnderWay::new(between, way, &["--transport", transport]);
        under_way.change(change);
        all.push((what, under_way));
    }
    for (what, under_way) in all {
        let way = under_way.way;
        let ran = under_way.finish();
        assert_eq!(ran.code, 0, "{what} {way:?}: {ran:?}");
        assert!(
            ran.stderr.contains("connecting again") || !ran.events_of("notice").is_empty(),
            "{what} {way:?}: {ran:?}"
        );
    }
}

#[test]
fn a_way_that_is_blocked_for_a_while_is_used_again() {
    let mut all = Vec::new();
    for way in BOTH_WAYS {
        let Some(between) = Between::new() else { return };
        let mut under_way = UnderWay::new(between, way, &[]);
        under_way.change(|hosts| {
            drop_udp(hosts);
            drop_ssh(hosts);
        });
        all.push(under_way);
    }
    for mut under_way in all {
        let hosts = &under_way.between.hosts;
        // So both the ssh that hangs and another one are tried.
        let running = &mut under_way.running;
        wait_for("another ssh", || running.has_ended() || hosts.running(Host::One, "ssh").len() == 2);
        assert!(!running.has_ended());
        hosts.shell(Host::Other, "nft delete table inet careful").exits(0);
        under_way.finish().exits(0);
    }
}

#[test]
fn an_address_that_changes_under_quic_is_followed() {
    let mut all = Vec::new();
    for way in BOTH_WAYS {
        for change in [move_here as Change, move_there] {
            let Some(between) = Between::new() else { return };
            let mut under_way = UnderWay::new(between, way, &["--transport", "quic"]);
            under_way.change(change);
            all.push(under_way);
        }
    }
    all.into_iter().for_each(|under_way| drop(under_way.finish().exits(0)));
}

/// The other host gets another address, under the name that it has.
fn move_there(hosts: &SshHosts) {
    hosts.namespaces.remove_address(Host::Other, "10.77.0.2/24");
    hosts.namespaces.add_address(Host::Other, "10.77.0.3/24");
    hosts.set_address("other", "10.77.0.3");
}

/// The person's own host gets another address.
fn move_here(hosts: &SshHosts) {
    hosts.namespaces.remove_address(Host::One, "10.77.0.1/24");
    hosts.namespaces.add_address(Host::One, "10.77.0.4/24");
}

#[test]
fn a_host_behind_another_is_reached_directly_where_it_is_routed_and_else_through_ssh() {
    let Some(hosts) = SshHosts::row() else { return };
    let between = Between::on(hosts);
    for is_routed in [false, true] {
        if is_routed {
            between.hosts.namespaces.route();
        }
        for way in BOTH_WAYS {
            let name = format!("copy{is_routed}");
            let ran = between.carry(way, &["-J", "middle"], &name).exits(0);
            between.assert_carried(way, &ran, &name);
            assert_eq!(fell_back(&ran), !is_routed, "{way:?}: {ran:?}");
        }
    }
    // As a person has it who does not want to know about it.
    between.hosts.configure("Host other\n ProxyJump friend@middle");
    for way in BOTH_WAYS {
        let ran = between.carry(way, &["--transport", "quic"], "copy").exits(0);
        between.assert_carried(way, &ran, "copy");
    }
}

#[test]
fn one_connection_of_ssh_serves_many_transfers() {
    let Some(between) = Between::new() else { return };
    between.hosts.configure("Host *\n ControlMaster auto\n ControlPath ~/.ssh/master\n ControlPersist 60");
    for (number, transport) in ["auto", "ssh", "quic"].into_iter().enumerate() {
        for way in BOTH_WAYS {
            let name = format!("copy{number}");
            let ran = between.carry(way, &["--transport", transport], &name).exits(0);
            between.assert_carried(way, &ran, &name);
            assert!(!fell_back(&ran), "{transport} {way:?}: {ran:?}");
        }
    }
    assert_eq!(connections(&between.hosts).len(), 1);
}

#[test]
fn the_configuration_of_ssh_says_who_and_where() {
    let Some(between) = Between::new() else { return };
    between.hosts.configure("Host backup\n HostName other\n User friend");
    for (number, host) in ["backup", "friend@other", "friend@10.77.0.2"].into_iter().enumerate() {
        let name = format!("copy{number}");
        run(&mut between.hosts.push(&["src/", &format!("{host}:{name}")])).exits(0);
        let there = between.hosts.place.path("people/friend").join(&name);
        let here = between.hosts.place.path("one");
        assert_eq!(tree(&there), tree(&here.join("src")), "{host}");
        run(&mut between.hosts.pull(&[&format!("{host}:{name}/"), &name])).exits(0);
        assert_eq!(tree(&here.join(&name)), tree(&there), "{host}");
    }
}

#[test]
fn hosts_that_have_ipv6_only_speak_quic_by_it() {
    let Some(between) = Between::new() else { return };
    for (host, address) in [(Host::One, 1), (Host::Other, 2)] {
        between.hosts.namespaces.remove_address(host, &format!("10.77.0.{address}/24"));
        between.hosts.namespaces.add_address(host, &format!("fd77::{address}/64 nodad"));
    }
    run(&mut between.hosts.push(&["--transport", "quic", "src/", "[fd77::2]:pushed"])).exits(0);
    run(&mut between.hosts.pull(&["--transport", "quic", "root@[fd77::2]:src/", "pulled"])).exits(0);
    between.hosts.set_address("other", "fd77::2");
    let ran = between.carry(Way::Push, &["-6", "--transport", "quic"], "copy").exits(0);
    between.assert_carried(Way::Push, &ran, "copy");
}

#[test]
fn whatever_shell_is_there_and_whatever_it_says_names_arrive_as_they_are() {
    let Some(between) = Between::new() else { return };
    let place = &between.hosts.place;
    let noise = "echo 'Welcome to'; printf '\"other\" '";
    for (person, start_up) in [("bash", ".bashrc"), ("fish", ".config/fish/config.fish"), ("zsh", ".zshenv")] {
        place.write(format!("people/{person}/{start_up}"), noise.as_bytes());
    }
    let odd = "it's a \"dir\" $HOME `id` \\'\\ *";
    let programs = place.path("other").join(odd);
    std::fs::create_dir(&programs).expect("a directory");
    for program in [env!("CARGO_BIN_EXE_careful-recv"), env!("CARGO_BIN_EXE_careful-send")] {
        let program = std::path::Path::new(program);
        symlink(program, programs.join(program.file_name().expect("a name"))).expect("a link");
    }
    for person in ["friend", "bash", "fish", "zsh"] {
        let host = format!("{person}@other");
        let [receiver, sender] = ["careful-recv", "careful-send"].map(|name| programs.join(name).display().to_string());
        let to = format!("{host}:to {odd}/");
        let ran = run(&mut between.hosts.push(&["--remote-path", &receiver, "src/large", &to])).exits(0);
        assert_eq!(ran.stderr.contains("Welcome to"), person != "friend", "{person}: {ran:?}");
        let there = format!("people/{person}/to {odd}/large");
        assert_eq!(place.read(&there), place.read("one/src/large"), "{person}");
        let from = format!("{to}large");
        run(&mut between.hosts.pull(&["--remote-path", &sender, &from, &format!("back {person}")])).exits(0);
        assert_eq!(place.read(format!("one/back {person}")), place.read(&there), "{person}");
    }
}
