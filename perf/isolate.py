"""A world of the rig's own: whatever ends it, nothing of it stays on the machine.

Network namespaces are held by mounts below /run/netns, and these by a mount namespace that no process but ours is in. When
the first process of a process namespace ends, the kernel kills all others in it. So the kernel cleans up, and no signal
can keep it from that.
"""
import ctypes, os, signal, subprocess, sys

CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x20000000, 0x40000000
PR_SET_PDEATHSIG = 1
# Mount points that every Linux has (FHS); what is mounted there is seen by nobody else.
SCRATCH, NETNS = "/mnt", "/run/netns"
libc = ctypes.CDLL(None, use_errno=True)


def _must(result, what):
    if result:
        sys.exit(f"error: {what}: {os.strerror(ctypes.get_errno())} (the rig needs root)")


def _watch(child):
    """Waits for the child; a signal that ends us ends it and all that it started."""
    def end(number, _frame):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        sys.exit(128 + number)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    sys.exit(code if code >= 0 else 128 - code)


def isolate():
    """Returns in a child that has network, mount and process namespaces of its own, and /mnt as scratch space in memory."""
    os.makedirs(NETNS, exist_ok=True)  # as the first `ip netns add` would do
    _must(libc.unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET), "unshare")
    child = os.fork()
    if child:
        _watch(child)
    _must(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL), "prctl")
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # our parent ends us
    for words in (["--make-rprivate", "/"], ["-t", "proc", "proc", "/proc"], ["-t", "tmpfs", "tmpfs", NETNS],
                  ["-t", "tmpfs", "tmpfs", SCRATCH], ["-t", "bpf", "bpf", "/sys/fs/bpf"]):
        subprocess.run(["mount", *words], check=True)
