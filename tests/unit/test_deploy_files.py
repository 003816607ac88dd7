"""Tests of the files for containers, systemd, supervisor and nginx: they start the processes of deploy/processes.py."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from configparser import RawConfigParser
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from celery.signals import heartbeat_sent
from django.test import override_settings
from supervisor.options import ServerOptions

from config import environment
from config.celery import app
from config.environment import BASE_DIR
from deploy import ready
from deploy.processes import Program, site
from deploy.system import LIBRARIES, SCRIPTS, find_program
from tests.unit.test_environment import PRODUCTION

DEPLOY = BASE_DIR / "deploy"
CONTAINER, SYSTEMD, NGINX = DEPLOY / "container", DEPLOY / "systemd", DEPLOY / "nginx"
PYTHON = "/opt/carryall/.venv/bin/python"
VAR_DIR = Path("/var/lib/carryall")
NAMES = ["web", "worker-high", "worker-bulk", "beat"]
UNITS = [f"carryall-{name}.service" for name in NAMES]
READ = re.compile(r"env\.(?:str|int|bool|list)\(\"(\w+)\"|_(?:on|path)\(env, \"(\w+)\"")


def programs(bind: str = "127.0.0.1") -> dict[str, Program]:
    return {program.name: program for program in site(VAR_DIR, 8000, bind)}


def expected(name: str, bind: str = "127.0.0.1") -> list[str]:
    """Return the command of a process, with the Python of an installation."""
    return [PYTHON if word == sys.executable else word for word in programs(bind)[name].command]


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


# --- The image. -----------------------------------------------------------------------------------------------------


def dockerfile() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile, each with its arguments on one line."""
    lines = [line for line in (CONTAINER / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found = [line.partition(" ") for line in joined.splitlines() if line]
    return [(word, rest) for word, _, rest in found]


def stages() -> dict[str, list[tuple[str, str]]]:
    """Return the instructions by stage. The first of each is its FROM."""
    found: dict[str, list[tuple[str, str]]] = {}
    for word, rest in dockerfile():
        if word == "FROM":
            found[rest.split()[-1]] = []
        found[list(found)[-1]].append((word, rest))
    return found


def test_the_image_has_the_system_packages() -> None:
    install = next(rest for word, rest in stages()["base"] if word == "RUN")
    packages = {"fontconfig", *LIBRARIES.values(), *(package for _, package in SCRIPTS.values())}
    assert packages <= set(install.split())


def test_the_image_installs_locked_requirements() -> None:
    build = "\n".join(rest for word, rest in stages()["build"] if word == "RUN")
    assert "--require-hashes" in build
    default = next(rest for word, rest in stages()["build"] if word == "ARG")
    names = re.findall(r"\w+", default.partition("=")[2])
    assert "base" in names
    assert all((BASE_DIR / "requirements" / f"{name}.txt").is_file() for name in names)


def test_the_image_starts_the_web_server_by_default_as_an_unprivileged_user() -> None:
    app = dict(stages()["app"])
    assert json.loads(app["CMD"]) == expected("web", "0.0.0.0")
    assert not app["USER"].startswith(("0", "root"))
    assert "collectstatic" in app["RUN"]
    assert all("HEALTHCHECK" in dict(stages()[name]) for name in ("app", "proxy"))


def test_base_images_have_fixed_releases() -> None:
    images = [rest.split()[0] for word, rest in dockerfile() if word == "FROM"]
    outside = [image for image in images if image not in stages()]
    assert outside
    assert all(":" in image and not image.endswith(":latest") for image in outside)


def test_the_build_context_has_what_the_site_imports() -> None:
    lines = (CONTAINER / "Dockerfile.dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    included = {line[1:] for line in lines if line.startswith("!")}
    assert {"config", "deploy", "durable", "exports", "notifications", "templates", "manage.py"} <= included
    assert "deploy/container/.env" in lines


# --- Compose. -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((CONTAINER / "compose.yaml").read_text()))


@pytest.mark.parametrize("name", NAMES)
def test_a_service_has_the_command_of_the_process(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    assert service["command"] == expected(name, "0.0.0.0")
    assert service["environment"]["PROCESS_NAME"] == name
    assert seconds(service["stop_grace_period"]) > programs()[name].stop_seconds


def test_two_web_servers_are_behind_the_proxy(compose: dict[str, Any]) -> None:
    assert compose["services"]["web"]["deploy"]["replicas"] == 2
    assert compose["services"]["proxy"]["depends_on"]["web"]["condition"] == "service_healthy"
    assert "default web:8000;" in (CONTAINER / "nginx.conf").read_text()


def test_every_service_is_hardened(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["init"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "cap_add" not in service, name
        assert "privileged" not in service, name
        assert "/tmp" in service["tmpfs"], name


def test_every_service_has_a_health_check_or_a_reason(compose: dict[str, Any]) -> None:
    without = {name for name, service in compose["services"].items() if service["healthcheck"].get("disable") is True}
    assert without == {"migrate", "beat"}
    reasons = re.findall(r"healthcheck: \{disable: true\}  # \w", (CONTAINER / "compose.yaml").read_text())
    assert len(reasons) == len(without)


def test_services_start_after_the_migration_and_the_servers(compose: dict[str, Any]) -> None:
    for name in [*NAMES, "flower"]:
        conditions = {key: value["condition"] for key, value in compose["services"][name]["depends_on"].items()}
        assert conditions == {
            "migrate": "service_completed_successfully",
            "postgres": "service_healthy",
            "redis": "service_healthy",
        }
    assert compose["services"]["migrate"]["restart"] == "no"


def test_images_have_fixed_tags(compose: dict[str, Any]) -> None:
    images = [service["image"] for service in compose["services"].values()]
    assert [image for image in images if not re.search(r":(?!latest$)[\w.${}:-]+$", image)] == []


def test_only_the_proxy_can_be_reached_from_outside(compose: dict[str, Any]) -> None:
    public = {
        name
        for name, service in compose["services"].items()
        if any(not port.startswith("127.0.0.1:") for port in service.get("ports", []))
    }
    assert public == {"proxy"}
    assert compose["networks"]["servers"]["internal"] is True
    assert all(compose["services"][name]["networks"] == ["servers"] for name in ("postgres", "redis"))


def test_servers_keep_what_they_have_acknowledged(compose: dict[str, Any]) -> None:
    redis = " ".join(compose["services"]["redis"]["command"])
    assert "--appendonly yes" in redis
    assert "--maxmemory-policy noeviction" in redis
    postgres = compose["services"]["postgres"]["command"]
    assert {"fsync=on", "synchronous_commit=on"} <= set(postgres)


def test_processes_share_the_files_but_not_the_scratch_folder(compose: dict[str, Any]) -> None:
    for name in NAMES:
        volumes = compose["services"][name]["volumes"]
        assert volumes == ["artifacts:/var/lib/carryall/artifacts", "/var/lib/carryall/scratch"]


# --- Variables. -----------------------------------------------------------------------------------------------------


def read_by_the_site() -> set[str]:
    """Return the names of the variables that config/environment.py reads."""
    source = (BASE_DIR / "config/environment.py").read_text()
    return {name for pair in READ.findall(source) for name in pair if name}


def example() -> dict[str, str]:
    lines = (CONTAINER / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_the_example_has_the_required_variables() -> None:
    assert set(PRODUCTION) <= set(example())


def test_every_variable_of_the_example_is_read() -> None:
    source = (CONTAINER / "compose.yaml").read_text()
    in_compose = set(re.findall(r"\$\{(\w+)", source))
    of_boto3 = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert set(example()) <= read_by_the_site() | in_compose | of_boto3


def test_the_example_lacks_only_variables_that_the_files_set_and_those_of_the_demo(compose: dict[str, Any]) -> None:
    in_files = {name for service in compose["services"].values() for name in service.get("environment", {})}
    assert read_by_the_site() - set(example()) - in_files == {"DEBUG", "PORT", "RATES_URL"}


def test_every_variable_of_the_example_has_a_comment() -> None:
    lines = (CONTAINER / ".env.example").read_text().splitlines()
    named = [index for index, line in enumerate(lines) if line and not line.startswith("#")]
    bare = [lines[index] for index in named if not lines[index - 1].startswith("# ")]
    assert [line for line in bare if line != "AWS_SECRET_ACCESS_KEY="] == []  # has that of the line before


def test_the_example_has_no_secret_and_starts_when_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {name: value for name, value in example().items() if re.search("KEY|PASSWORD|SECRET", name)}
    assert set(secrets.values()) == {""}
    for name, value in example().items():
        monkeypatch.setenv(name, value or PRODUCTION.get(name, ""))
    assert environment.read().name == "production"


# --- systemd. -------------------------------------------------------------------------------------------------------


def unit(name: str) -> dict[str, str]:
    """Return the last value of each setting in [Service], with those that all units share."""
    parser = RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read([SYSTEMD / "carryall-.service.d" / "common.conf", SYSTEMD / name])
    return dict(parser["Service"])


@pytest.mark.parametrize("name", NAMES)
def test_a_unit_has_the_command_of_the_process(name: str) -> None:
    service, command = unit(f"carryall-{name}.service"), expected(name)
    if command[0] == "nice":  # systemd sets it
        assert service["Nice"] == command[2]
        command = command[3:]
    assert shlex.split(service["ExecStart"].replace("%%", "%")) == command
    assert service["Environment"] == f"PROCESS_NAME={name}"
    assert int(service["TimeoutStopSec"]) > programs()[name].stop_seconds
    assert (service["KillMode"], service["Restart"]) == ("mixed", "always")
    assert service["User"] not in ("", "root")


def test_the_target_starts_all_units() -> None:
    assert set(UNITS) == {path.name for path in SYSTEMD.glob("*.service")}
    assert all(name in (SYSTEMD / "carryall.target").read_text() for name in UNITS)


@pytest.fixture(scope="module")
def analyze() -> str:
    return shutil.which("systemd-analyze") or pytest.skip("systemd-analyze is not installed")


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Return a folder with the units, which name a Python that exists: systemd checks it."""
    folder = tmp_path / "system"
    shutil.copytree(SYSTEMD, folder)
    for path in folder.glob("*.service"):
        path.write_text(path.read_text().replace(PYTHON, sys.executable))
    return folder


def test_systemd_accepts_the_units(analyze: str, installed: Path) -> None:
    files = [*map(str, sorted(installed.glob("*.service"))), str(installed / "carryall.target")]
    done = subprocess.run([analyze, "verify", *files], capture_output=True, text=True, check=False, timeout=60)
    ours = [line for line in done.stderr.splitlines() if "carryall" in line]  # not those of the machine's other units
    assert (done.returncode, ours) == (0, []), done.stderr


@pytest.mark.parametrize("name", UNITS)
def test_the_exposure_of_a_unit_is_low(analyze: str, installed: Path, name: str) -> None:
    """The score is from 0 to 10: networks, sockets and the host's root folder are what is left."""
    options = ["--offline=true", "--no-pager", "--threshold=12"]  # tenths
    done = subprocess.run(
        [analyze, "security", *options, str(installed / name)], capture_output=True, text=True, check=False, timeout=60
    )
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze is older than version 250 and cannot read files")
    assert done.returncode == 0, done.stdout[-200:] + done.stderr


# --- supervisor. ----------------------------------------------------------------------------------------------------


def test_supervisor_reads_the_programs(tmp_path: Path) -> None:
    """The folders of an installation are replaced, because supervisor refuses folders that do not exist."""
    text = (DEPLOY / "supervisor/carryall.conf").read_text()
    conf = tmp_path / "carryall.conf"
    conf.write_text(
        text.replace("/var/lib/carryall", str(tmp_path))
        .replace("/opt/carryall\n", f"{tmp_path}\n")
        .replace("/var/log/carryall", str(tmp_path))
    )
    options = ServerOptions()
    options.realize(["-n", "-c", str(conf)], doc=__doc__)
    (group,) = options.process_group_configs
    assert {program.name for program in group.process_configs} == set(NAMES)
    for program in group.process_configs:
        process = programs()[program.name]
        command = [PYTHON if word.endswith("/bin/python") else word for word in shlex.split(program.command)]
        assert command == expected(program.name)
        assert program.environment == {"PROCESS_NAME": program.name}
        assert (program.stopasgroup, program.killasgroup) == (False, True)
        assert program.stopwaitsecs > process.stop_seconds


# --- nginx. ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nginx() -> str:
    return find_program("nginx") or pytest.skip("nginx is not installed")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    openssl = shutil.which("openssl") or pytest.skip("openssl is not installed")
    request = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "1"]
    files = ["-keyout", str(tmp_path / "privkey.pem"), "-out", str(tmp_path / "fullchain.pem")]
    subprocess.run([*request, *files], check=True, capture_output=True, timeout=60)
    return tmp_path


@pytest.mark.parametrize("main", ["container", "host"])
def test_nginx_accepts_its_configuration(nginx: str, certificate: Path, main: str) -> None:
    folder = certificate
    shared = (NGINX / "carryall.conf").read_text().replace("/etc/nginx/tls", str(folder))
    ports = {"listen 80;": "listen 127.0.0.1:18080;", "listen 443 ssl;": "listen 127.0.0.1:18443 ssl;"}
    for before, after in ports.items():  # a user other than root may not listen on the others
        assert before in shared
        shared = shared.replace(before, after)
    (folder / "carryall.conf").write_text(shared)
    if main == "container":
        text = (CONTAINER / "nginx.conf").read_text()
        text = text.replace("/etc/nginx/conf.d", str(folder)).replace("/etc/nginx/mime.types", str(folder / "types"))
    else:
        text = f"events {{}}\nhttp {{\n{(NGINX / 'upstream.conf').read_text()}\ninclude {folder}/carryall.conf;\n}}"
    (folder / "types").write_text("types { text/css css; }\n")
    (folder / "nginx.conf").write_text(text.replace("pid /tmp/nginx.pid", f"pid {folder}/nginx.pid"))
    command = [nginx, "-t", "-q", "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


# --- Health checks. ------------------------------------------------------------------------------------------------


class Answers(BaseHTTPRequestHandler):
    """A web server that answers /readyz as told, and refuses host names as Django does."""

    status = 200

    def do_GET(self) -> None:
        wrong = self.path != "/readyz" or self.headers["Host"] != "example.com"
        self.send_response(400 if wrong else self.status)
        self.end_headers()
        self.wfile.write(b"The database does not answer.")

    def log_message(self, *args: Any) -> None:
        """Print nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_web_server_is_healthy_if_it_is_ready(
    port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in PRODUCTION.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["ready", str(port)])
    assert ready.main() == 0
    monkeypatch.setattr(Answers, "status", 503)
    assert ready.main() == 1
    assert "503: The database does not answer." in capsys.readouterr().out


def test_a_web_server_that_does_not_answer_is_not_healthy(port: int) -> None:
    server_that_ended = HTTPServer(("127.0.0.1", 0), Answers)
    server_that_ended.server_close()
    assert "No answer" in ready.fault(server_that_ended.server_port, "example.com")


def test_a_worker_touches_its_file_at_each_heartbeat(tmp_path: Path) -> None:
    app.finalize()
    with override_settings(HEARTBEAT_FILE=tmp_path / "heartbeat"):
        heartbeat_sent.send(sender=None)
    assert (tmp_path / "heartbeat").exists()
    with override_settings(HEARTBEAT_FILE=None):
        heartbeat_sent.send(sender=None)
