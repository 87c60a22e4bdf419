"""Several hosts on one Linux machine: network namespaces, joined by a switch with a latency and a bandwidth.

    with Network(4, latency=1e-3, bandwidth=125e6) as network:
        network.run(0, ["dask", "scheduler", "--host", network.address(0)])

Each host has a tun device; a process reads the packets of all, keeps each for as long as it would take on the way, and
hands it to the host it is for. Needs root and iproute2.
"""

from __future__ import annotations

import fcntl
import heapq
import multiprocessing
import os
import select
import struct
import subprocess
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
MTU = 60_000  # large packets: the switch is a Python loop
NET = "10.77.0"


class Network:
    """So many hosts; latency in seconds one way, bandwidth in bytes a second out of each host (None: no limit)."""

    def __init__(self, n_hosts: int, latency: float = 0.0, bandwidth: float | None = None):
        self.n_hosts, self.latency, self.bandwidth = n_hosts, latency, bandwidth
        self._running: list[subprocess.Popen] = []

    def address(self, host: int) -> str:
        return f"{NET}.{host + 1}"

    def __enter__(self) -> Network:
        ports = [self._add(host) for host in range(self.n_hosts)]
        self._switch = multiprocessing.get_context("fork").Process(
            target=switch, args=(ports, self.latency, self.bandwidth), daemon=True
        )
        self._switch.start()
        for port in ports:
            os.close(port)
        return self

    def __exit__(self, *_) -> None:
        for process in self._running:
            process.kill()
            process.wait()
        self._switch.kill()
        self._switch.join()
        for host in range(self.n_hosts):
            subprocess.run(["ip", "netns", "del", f"host{host}"], check=False)

    def run(self, host: int, command: list[str], **options) -> subprocess.Popen:
        """Start a command on a host."""
        process = subprocess.Popen(["ip", "netns", "exec", f"host{host}", *command], **options)
        self._running.append(process)
        return process

    def _add(self, host: int) -> int:
        space, device = f"host{host}", f"tun{host}"
        port = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(port, TUNSETIFF, struct.pack("16sH", device.encode(), IFF_TUN | IFF_NO_PI))
        for line in (
            f"ip netns add {space}",
            f"ip link set {device} netns {space}",
            f"ip -n {space} addr add {self.address(host)}/24 dev {device}",
            f"ip -n {space} link set {device} mtu {MTU} up",
            f"ip -n {space} link set lo up",
        ):
            subprocess.run(line.split(), check=True)
        return port


def switch(ports: list[int], latency: float, bandwidth: float | None) -> None:
    """Carry packets between the ports for ever."""
    free = dict.fromkeys(ports, 0.0)  # when each host's line can take its next packet
    waiting: list[tuple[float, int, int, bytes]] = []
    poll, count = select.epoll(), 0
    for port in ports:
        poll.register(port, select.EPOLLIN)
    while True:
        timeout = max(0.0, waiting[0][0] - time.perf_counter()) if waiting else -1
        for port, _ in poll.poll(timeout if timeout < 0 or timeout > 2e-3 else 0):
            packet = os.read(port, MTU + 100)
            now = time.perf_counter()
            free[port] = max(now, free[port]) + (len(packet) / bandwidth if bandwidth else 0.0)
            if packet[0] >> 4 == 4 and packet[16:19] == bytes(map(int, NET.split("."))):
                count += 1
                heapq.heappush(waiting, (free[port] + latency, count, packet[19] - 1, packet))
        now = time.perf_counter()
        while waiting and waiting[0][0] <= now:
            _, _, host, packet = heapq.heappop(waiting)
            if host < len(ports):
                os.write(ports[host], packet)
