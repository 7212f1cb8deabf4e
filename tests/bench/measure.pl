#!/usr/bin/perl
# Runs one command in a host of the lab and prints what it cost, one "name<TAB>value" a line. As root, because the command
# gets a cgroup of its own; what the host's nix-daemon does meanwhile is counted with it.
#
#   measure.pl time COMMAND...      seconds, cpu (with the daemon's part)
#   measure.pl memory COMMAND...    looks at all processes every 20 ms: the highest sums, in kB
#   measure.pl programs COMMAND...  under strace: programs and processes started, connections to the nix-daemon
#   measure.pl start COMMAND...     the median of 200 starts, in seconds
#
# What the command says goes to ./output and ./errors.
use strict;
use warnings;
use POSIX qw(WNOHANG);
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC sleep);

my $groups = "/sys/fs/cgroup";
my $own    = "$groups/bench";
my $daemon = "$groups/system.slice/nix-daemon.service";

my ($mode, @command) = @ARGV;
die "measure.pl time|memory|programs|start COMMAND...\n" unless @command;

sub now { clock_gettime(CLOCK_MONOTONIC) }

sub content {
	open(my $file, '<', $_[0]) or return '';
	local $/;
	return <$file> // '';
}

sub figure { printf "%s\t%s\n", @_ }

# Within two seconds, for what ends in the background: a daemon's worker, an ssh.
sub soon {
	my $condition = shift;
	for (1 .. 200) { return 1 if $condition->(); sleep 0.01 }
	return 0;
}

sub processes { split ' ', content("$_[0]/cgroup.procs") }
sub cpu       { content("$_[0]/cpu.stat") =~ /^usage_usec (\d+)/m ? $1 / 1e6 : 0 }

sub start {
	my $process = fork() // die "cannot fork: $!\n";
	return $process if $process;
	open(my $group, '>', "$own/cgroup.procs") or die "cannot enter $own: $!\n";
	syswrite($group, "0\n") or die "cannot enter $own: $!\n";
	close $group;
	open(STDIN,  '<', '/dev/null');
	open(STDOUT, '>', 'output');
	open(STDERR, '>', 'errors');
	exec @command or POSIX::_exit(127);
}

sub check {
	my $status = shift;
	return unless $status;
	print STDERR "it failed (status $status): @command\n", content('errors');
	exit 1;
}

# --- memory -----------------------------------------------------------------------------------------
my %highest;    # name => kB
my $composition = '';

sub raise {
	my ($name, $value) = @_;
	return 0 if $value <= ($highest{$name} // -1);
	$highest{$name} = $value;
	return 1;
}

sub look {
	my %sum = (rss => 0, pss => 0, anonymous => 0);
	my %of;
	for my $process (processes($own), processes($daemon)) {
		my $rollup = content("/proc/$process/smaps_rollup") or next;
		my $status = content("/proc/$process/status")       or next;
		my ($name) = $status =~ /^Name:\s+(\S+)/m;
		my $value = sub { $rollup =~ /^$_[0]:\s+(\d+)/m ? $1 : 0 };
		my ($rss, $pss, $anonymous) = map { $value->($_) } qw(Rss Pss Pss_Anon);
		$sum{rss}       += $rss;
		$sum{pss}       += $pss;
		$sum{anonymous} += $anonymous;
		$of{$name} += $rss;
		raise("program $name", $rss);
		raise("peak $name", $1) if $status =~ /^VmHWM:\s+(\d+)/m;
	}
	raise("all pss", $sum{pss});
	raise("all anonymous", $sum{anonymous});
	if (raise("all rss", $sum{rss})) {
		$composition = join ', ', map { sprintf '%s %.1f', $_, $of{$_} / 1024 } sort { $of{$b} <=> $of{$a} } keys %of;
	}
}

# --- the modes ----------------------------------------------------------------------------------------
if ($mode eq 'start') {
	my @seconds;
	for (1 .. 200) {
		my $begin   = now();
		my $process = fork() // die "cannot fork: $!\n";
		if (!$process) {
			open(STDOUT, '>', '/dev/null');
			exec @command or POSIX::_exit(127);
		}
		waitpid $process, 0;
		check($?);
		push @seconds, now() - $begin;
	}
	@seconds = sort { $a <=> $b } @seconds;
	figure('start', $seconds[100]);
	exit 0;
}

@command = (qw(strace -f -qq -s 200 -o trace -e), 'trace=execve,connect,clone,clone3,fork,vfork', @command)
	if $mode eq 'programs';

-d $own or mkdir $own or die "cannot make $own: $!\n";
soon(sub { processes($daemon) <= 1 });
my $daemon_before = cpu($daemon);
my $begin         = now();
my $process       = start();
if ($mode eq 'memory') {
	while (waitpid($process, WNOHANG) == 0) { look(); sleep 0.02 }
} else {
	waitpid $process, 0;
}
my $seconds = now() - $begin;
check($?);
soon(sub { !processes($own) }) or die "left behind: " . join(' ', processes($own)) . "\n";
soon(sub { processes($daemon) <= 1 });

if ($mode eq 'time') {
	figure('seconds', $seconds);
	figure('cpu',     cpu($own) + cpu($daemon) - $daemon_before);
	figure('cpu of the daemon', cpu($daemon) - $daemon_before);
} elsif ($mode eq 'memory') {
	figure($_, $highest{$_}) for sort keys %highest;
	figure('composition', $composition);
} elsif ($mode eq 'programs') {
	my ($programs, $forks, $talks) = (0, 1, 0);
	for (split /\n/, content('trace')) {
		$programs++ if /execve.*= 0$/;
		$forks++ if /\b(?:clone3?|v?fork)\(/ && !/CLONE_THREAD/;
		$talks++ if /connect\(.*daemon-socket\/socket/;
	}
	figure('programs', $programs);
	# The daemon forks once for each connection.
	figure('processes', $forks + $talks);
	figure('daemon connections', $talks);
}
rmdir $own;
