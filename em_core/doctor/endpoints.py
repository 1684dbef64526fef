"""Do the configured judges' servers answer? Those on this machine are asked always, others only with `online`.

Asked is for the list of models, which costs nothing; whether a judge really judges says ``judges check NAME``.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from em_core.doctor import web
from em_core.doctor.findings import Finding, Visit, some
from em_core.errors import EMError
from em_core.home import Home
from em_core.judges.endpoint import Endpoint
from em_core.spec import JudgeSpec
from em_core.specs_io import judge_configs

_LOCAL_S, _FAR_S = 2.0, 10.0
_MOST_AT_ONCE = 8


@dataclass
class _Server:
    """One address, and who wants it."""

    endpoint: Endpoint
    names: list[str] = field(default_factory=list)
    models: set[str] = field(default_factory=set)
    waiting: list[str] = field(default_factory=list)
    own: bool = False


def look(visit: Visit) -> Iterator[Finding]:
    """One finding per address; what is wrong with configurations first."""
    servers, problems = configured(visit.home)
    yield from problems
    asked = [server for server in servers if server.endpoint.loopback or visit.online]
    for server in servers:
        if server not in asked:
            text = f"{server.endpoint.base_url} ({some(server.names)}): not asked"
            yield Finding("ok", "judge server", f"{text}; `doctor --online` asks servers outside this machine")
    with ThreadPoolExecutor(_MOST_AT_ONCE, thread_name_prefix="doctor") as pool:
        for findings in pool.map(lambda server: list(_ask(server, visit.online)), asked):
            yield from findings
    if not servers and not problems:
        yield Finding("ok", "judge server", "none is configured: judges on this machine need none")


def configured(home: Home) -> tuple[list[_Server], list[Finding]]:
    """Addresses of configured judges and of runs that are queued or at work, and configurations that are wrong."""
    servers: dict[str, _Server] = {}
    problems: list[Finding] = []

    def add(spec: JudgeSpec, name: str, run_id: str = "", own: bool = False) -> None:
        if spec.name != "openai_compatible":
            return
        endpoint = Endpoint.of(spec)
        server = servers.setdefault(endpoint.base_url, _Server(endpoint))
        server.models.add(spec.model)
        (server.waiting if run_id else server.names).append(run_id or name)
        server.own = server.own or own

    for name, config in judge_configs.available(home).items():
        try:
            add(judge_configs.resolve(name, (), home)[1], name, own=config.own)
        except EMError as error:
            # a shipped one that wants a model or an address is a template
            if config.own:
                problems.append(Finding("broken", f"judge {name}", error.message, error.hint))
    for run_id, spec in _waiting(home):
        with contextlib.suppress(EMError):
            add(spec, spec.name, run_id)
    return list(servers.values()), problems


def _waiting(home: Home) -> Iterator[tuple[str, JudgeSpec]]:
    """Judges of the runs that are queued or at work."""
    from em_core.supervisor.evidence import list_runs

    for status in list_runs(home):
        if not status.final:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
                body = json.loads((home.runs / status.run_id / "spec.json").read_text(encoding="utf-8"))
                for judge in body["spec"].get("judges", []):
                    yield status.run_id, JudgeSpec.model_validate(judge)


def _ask(server: _Server, online: bool) -> Iterator[Finding]:
    endpoint = server.endpoint
    what = f"judge server {endpoint.host}"
    by = some(sorted({*server.names, *server.waiting}))
    key = ""
    if online:
        try:
            key = endpoint.key()
        except EMError as error:
            yield Finding("broken" if server.waiting else "note", what, f"{error.message} (for {by})", error.hint)
            return
    key = "" if key == "none" else key
    seconds = _LOCAL_S if endpoint.loopback else _FAR_S
    reply = web.get(f"{endpoint.base_url}/models", seconds, key, local=endpoint.loopback)
    yield _verdict(server, reply, what, by, bool(key))


def _verdict(server: _Server, reply: web.Reply, what: str, by: str, with_key: bool) -> Finding:
    endpoint = server.endpoint
    if not reply.status:
        wanted = f"; wanted by {some(server.waiting)}" if server.waiting else ""
        found = f"{endpoint.base_url} ({by}): {reply.problem}{wanted}"
        if not server.waiting and not server.own:
            return Finding("ok", what, f"{found}; start a server there to use it")
        start = "start the server there" if endpoint.loopback else "check the network"
        fix = f"{start}, or correct base_url in the judge's configuration"
        return Finding("broken" if server.waiting else "note", what, found, fix)
    if reply.status in (401, 403):
        if not with_key:
            return Finding("ok", what, f"{endpoint.base_url} ({by}): answers, and wants its key (`doctor --online` tries it)")
        return Finding(
            "broken", what, f"{endpoint.base_url} ({by}): refused the key in {endpoint.api_key_env}", "set another key"
        )
    if 300 <= reply.status < 400:
        text = f"{endpoint.base_url} ({by}): redirects elsewhere ({reply.status}); keys are not sent there"
        return Finding("broken" if server.waiting else "note", what, text, "set base_url to the real address")
    if reply.status == 404:
        text = f"{endpoint.base_url} ({by}): answers, but has no list of models"
        return Finding("note", what, text, "see that base_url ends in /v1; then `python -m em_core judges check NAME`")
    if reply.status >= 400:
        text = f"{endpoint.base_url} ({by}): answers with an error ({reply.status})"
        return Finding("broken" if server.waiting else "note", what, text, "look at that server's own log")
    missing = sorted(server.models - _models(reply.body)) if _models(reply.body) else []
    if missing:
        text = f"{endpoint.base_url} ({by}): answers, but does not list {some(missing)}"
        return Finding("note", what, text, "set model to one that it lists, or load that model there")
    return Finding("ok", what, f"{endpoint.base_url} ({by}): answers" + (", key accepted" if with_key else ""))


def _models(body: object) -> set[str]:
    listed = body.get("data") if isinstance(body, dict) else None
    return {str(each["id"]) for each in listed if isinstance(each, dict) and "id" in each} if isinstance(listed, list) else set()
