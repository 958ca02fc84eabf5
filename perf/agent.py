"""The product in a namespace of the rig: store, resources, agent."""
import json, os, subprocess, time

from common import HERE, W, sh
from worlds import NODE

BINARY = os.path.join(HERE, "../target/release/tortie")
# What the agent may take to have the largest world in the kernel.
SETTLED_MAX_S = 900


class RigError(Exception):
    """Something that must not be measured, or cannot be."""


def must(done, what):
    if done.returncode: raise RigError(f"{what}: {(done.stderr or done.stdout).strip()[-600:]}")
    return done


class Agent:
    """A running agent whose rules are in the kernel, all resources of `world` in its embedded store."""

    def __init__(self, ns, world, variables={}):
        self.folder = f"{W}/{ns}-agent"
        os.makedirs(self.folder)
        self.socket = f"{self.folder}/agent.sock"
        store = f"embedded:{self.folder}/store"
        self.env = {"PATH": os.environ["PATH"], "HOME": self.folder, "TORTIE_STORE": store, **variables}
        for number in range(world.more_interfaces):
            must(sh(f"ip -n {ns} link add more{number} type veth peer name peer{number} && ip -n {ns} link set more{number} up"), "interface")
        start = time.perf_counter()
        self._apply(world)
        self.apply_s = time.perf_counter() - start
        self.log = open(f"{self.folder}/log", "w+")
        start = time.perf_counter()
        # `ip netns exec` replaces itself with the program, so the process is the agent.
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", ns, BINARY, "agent", "--node", NODE, "--socket", self.socket, "--log-level", "warn"],
            env=self.env, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        try:
            self._settle(ns)
        except BaseException:
            self.stop()
            raise
        self.settle_s = time.perf_counter() - start

    def _apply(self, world):
        path = f"{self.folder}/world.yaml"
        with open(path, "w") as out:
            for resource in world.resources(): out.write(f"---\n{json.dumps(resource)}\n")
        must(subprocess.run([BINARY, "apply", "-f", path], env=self.env, text=True, capture_output=True), "tortie apply")
        os.remove(path)

    def _settle(self, ns):
        end = time.monotonic() + SETTLED_MAX_S
        while True:
            if self.process.poll() is not None: raise RigError(f"the agent ended: {self.said()}")
            done = subprocess.run(["ip", "netns", "exec", ns, BINARY, "status", "--socket", self.socket, "--wait",
                                   "--timeout", f"{SETTLED_MAX_S}s"], env=self.env, text=True, capture_output=True)
            if done.returncode == 0: return
            if time.monotonic() > end: must(done, f"the agent does not settle, {self.said()}")
            time.sleep(0.02)  # its socket is not there yet

    def said(self):
        self.log.seek(0)
        return self.log.read().strip()[-600:] or "without a word"

    def peak_mb(self):
        with open(f"/proc/{self.process.pid}/status") as lines:
            return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.log.close()
        sh(f"rm -rf {self.folder}")
