"""Time a campaign over HTTP as a ratio to the bare client: the same requests, the same server, at the same concurrency.

Rounds take turns, and the median of their ratios is printed, since machines are noisy: `python -m tools.bench_server`
starts llama-server; an address as argument asks that server instead.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median

import urllib3

from conformance.campaign.check import check
from conformance.campaign.runner import Runner
from conformance.campaign.settings import Settings
from conformance.resources import resource
from conformance.servers.client import Access
from conformance.servers.host import ServerHost
from conformance.servers.llama_local import llama_server
from conformance.targets.base import Group
from conformance.targets.server import open_server


@dataclass(frozen=True, slots=True)
class Round:
    """Prompts a second by the bare client and by the campaign, requests a second by the whole check with its shrinking.

    `bare_ms` and `campaign_ms` are this process's own time for a prompt: what it costs where all cores are busy.
    """

    bare: float
    campaign: float
    whole: float
    bare_ms: float
    campaign_ms: float


def bodies(group: Group, settings: Settings) -> list[bytes]:
    """Return the bodies of the campaign's requests, in order."""
    (host,) = group.hosts.values()
    assert isinstance(host, ServerHost)
    with Runner(settings, hosts=group.hosts) as runner:
        drawn = [item for item in map(runner.drawn, range(settings.cases)) if item.lost is None]
        requests = [item.shape.request(item.case) for item in drawn]
    return [host.body(request) for request in requests if host.protocol.loses(request) is None]


def bare(address: str, path: str, asked: Sequence[bytes], concurrency: int) -> tuple[float, float]:
    """Ask for all prompts, and for the tokens of each, with nothing but urllib3 and threads.

    Returns the seconds, and those of this process's own work.
    """
    headers = {"Content-Type": "application/json"}
    pool = urllib3.PoolManager(maxsize=concurrency, headers=headers)

    def ask(body: bytes) -> None:
        answer = pool.request("POST", address + path, body=body)
        if path == "/apply-template" and answer.status == 200:
            text = json.loads(answer.data)["prompt"]
            body = json.dumps({"content": text, "parse_special": True, "add_special": False}).encode()
            pool.request("POST", address + "/tokenize", body=body)

    with ThreadPoolExecutor(concurrency) as threads:
        list(threads.map(ask, asked[:8]))
        begin, work = time.perf_counter(), time.process_time()
        list(threads.map(ask, asked))
        return time.perf_counter() - begin, time.process_time() - work


def measure(access: Access, cases: int, seed: int, *, whole: bool) -> Round:
    """Return one round."""
    group = open_server(access)
    (host,) = group.hosts.values()
    assert isinstance(host, ServerHost)
    settings = Settings(
        seed=seed, cases=cases, engines=tuple(group.hosts), shapes=group.shapes, date=group.date
    )
    try:
        asked = bodies(group, settings)
        seconds, work = bare(host.client.base, host.protocol.path, asked, access.concurrency)
        with Runner(settings, hosts=group.hosts) as runner:
            runner.run(group.targets, 0, min(8, cases))
            begin, own = time.perf_counter(), time.process_time()
            runner.run(group.targets, 0, cases)
            campaign, own = time.perf_counter() - begin, time.process_time() - own
        rate = 0.0
        if whole:
            before, begin = host.client.requests, time.perf_counter()
            check(group.targets, settings, hosts=group.hosts)
            rate = (host.client.requests - before) / (time.perf_counter() - begin)
    finally:
        group.close()
    count = len(asked)
    return Round(count / seconds, count / campaign, rate, 1000 * work / count, 1000 * own / count)


@contextlib.contextmanager
def _server(address: str | None) -> Iterator[str]:
    if address is not None:
        yield address
        return
    with llama_server(resource("templates", "gpt-oss.jinja").read_text("utf-8")) as found:
        yield found


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the ratios; the exit code is 0 whatever they are."""
    parser = argparse.ArgumentParser(prog="tools.bench_server", description=__doc__)
    parser.add_argument("address", nargs="?", help="a running server; default: llama-server, started here")
    parser.add_argument("--cases", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--concurrency", type=int, default=4)
    parser.add_argument("--whole", action="store_true", help="time the whole check too, with its shrinking")
    chosen = parser.parse_args(arguments)
    with _server(chosen.address) as address:
        access = Access(address, concurrency=chosen.concurrency)
        rounds = [
            measure(access, chosen.cases, chosen.seed, whole=chosen.whole) for _ in range(chosen.rounds)
        ]
    ratios = [found.campaign / found.bare for found in rounds]
    print(f"{chosen.cases} conversations, {chosen.concurrency} at once, {chosen.rounds} rounds in turns")
    print(f"  bare client  {median(found.bare for found in rounds):7.1f} prompts a second")
    print(f"  campaign     {median(found.campaign for found in rounds):7.1f} prompts a second")
    print(f"  ratio        {median(ratios):7.2f} (rounds: {', '.join(f'{ratio:.2f}' for ratio in ratios)})")
    own = median(found.bare_ms for found in rounds), median(found.campaign_ms for found in rounds)
    print(f"  own work     {own[0]:7.1f} ms a prompt by the bare client, {own[1]:.1f} ms by the campaign")
    if chosen.whole:
        print(
            f"  whole check  {median(found.whole for found in rounds):7.1f} requests a second, shrinking included"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
