#!/usr/bin/env python3
"""Packets while a firewall changes: what must pass passes each time, what must not never does, what is open stays open.

packets.py serve ADDRESS PORT...        accepts connections and sends back what they say
packets.py watch FLOW...                sends until it is told to end (SIGTERM), then says what was wrong; 1 if anything was.
                                        It says `ready` when each has been tried.
    FLOW is WHAT:SOURCE:DESTINATION:PORT, and WHAT one of `pass`, `drop`, `stay`
"""

import select
import signal
import socket
import sys
import threading
import time

# Shorter than the second after which a lost packet is sent again, so that one that is lost is noticed.
PASS_SECONDS = 0.9
# How long a connection that must not come about is waited for, and how long an answer on one that stays.
DROP_SECONDS = 0.1
STAY_SECONDS = 10.0
PAUSE = 0.02
# How often each is tried at least after the end was asked for: what the last change has done is seen, too.
MORE = 10

ended = threading.Event()


def echo(connection):
    with connection:
        while data := connection.recv(64):
            connection.sendall(data)


def serve(address, ports):
    sockets = []
    for port in ports:
        listener = socket.create_server((address, int(port)), backlog=1024)
        sockets.append(listener)
    while True:
        for listener in select.select(sockets, [], [])[0]:
            connection, _ = listener.accept()
            threading.Thread(target=echo, args=(connection,), daemon=True).start()


def connects(source, destination, port, seconds):
    with socket.socket() as connection:
        connection.bind((source, 0))
        connection.settimeout(seconds)
        try:
            connection.connect((destination, port))
        except OSError:
            return False
        return True


class Flow:
    def __init__(self, text):
        self.text = text
        what, self.source, self.destination, port = text.split(":")
        self.port = int(port)
        self.run = {"pass": self.must_pass, "drop": self.must_not, "stay": self.stays}[what]
        self.tried = 0
        self.rest = MORE
        self.started = threading.Event()
        self.wrong = []

    def goes_on(self):
        time.sleep(PAUSE)
        if ended.is_set():
            self.rest -= 1
        return self.rest >= 0

    def judge(self, is_good):
        self.tried += 1
        self.started.set()
        if not is_good:
            self.wrong.append(time.strftime("%H:%M:%S"))

    def must_pass(self):
        while self.goes_on():
            self.judge(connects(self.source, self.destination, self.port, PASS_SECONDS))

    def must_not(self):
        while self.goes_on():
            self.judge(not connects(self.source, self.destination, self.port, DROP_SECONDS))

    def stays(self):
        with socket.socket() as connection:
            connection.bind((self.source, 0))
            connection.settimeout(STAY_SECONDS)
            connection.connect((self.destination, self.port))
            while self.goes_on():
                try:
                    connection.sendall(b"x")
                    self.judge(connection.recv(1) == b"x")
                except OSError:
                    self.judge(False)
                    return


def watch(texts):
    flows = [Flow(text) for text in texts]
    threads = [threading.Thread(target=flow.run) for flow in flows]
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    for thread in threads:
        thread.start()
    for flow in flows:
        flow.started.wait()
    print("ready", flush=True)
    for thread in threads:
        thread.join()
    for flow in flows:
        wrong = f", {len(flow.wrong)} wrong, at {' '.join(flow.wrong[:3])}" if flow.wrong else ""
        print(f"      {flow.text} {flow.tried} tried{wrong}", flush=True)
    return 1 if any(flow.wrong or not flow.tried for flow in flows) else 0


if __name__ == "__main__":
    command, rest = sys.argv[1], sys.argv[2:]
    if command == "serve":
        serve(rest[0], rest[1:])
    sys.exit(watch(rest))
