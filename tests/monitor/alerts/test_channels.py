"""Messages through real servers: a webhook, an SMTP server, W&B offline; and servers that are not well."""

from __future__ import annotations

import http.server
import json
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any, Literal

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from seglab.core.errors import ConfigError
from seglab.core.options import Options
from seglab.monitor.alerts.book import AlertBook
from seglab.monitor.alerts.channels import deliver, open_channels
from seglab.monitor.alerts.findings import Finding, Judged
from seglab.monitor.alerts.options import EmailOptions, WandbOptions, WebhookOptions
from tests.serve.processes import free_port
from tests.waiting import wait_for

HOOK, NONE = "HOOK", "NO_SUCH_VARIABLE"  # names of environment variables
DRIFT = Judged([Finding("drift", "page", "b", "they drifted", 2.0, 1.0)], frozenset({"drift"}))


@contextmanager
def webhook(*answers: int) -> Iterator[tuple[str, list[Any]]]:
    """A server that answers its posts with these, then with 200; yield its address and what came."""
    came: list[Any] = []
    left = list(answers)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            came.append((self.path, self.headers.get("Authorization"), json.loads(body)))
            self.send_response(left.pop(0) if left else 200)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *given: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/hook", came
        server.shutdown()
        thread.join()


class Mailbox:
    """A running SMTP server; `refuse` is what it says to RCPT, `logins` are who came in."""

    def __init__(self, refuse: str = "", **options: Any) -> None:
        self.refuse, self.mails, self.logins = refuse, list[Envelope](), list[str]()
        self.port = free_port()
        given = {"authenticator": self.let_in, **options}
        self._server = Controller(self, "127.0.0.1", self.port, **given)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        return self.refuse or "250 ok"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        self.mails.append(envelope)
        return "250 ok"

    def let_in(
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        mechanism: str,
        data: LoginPassword,
    ) -> AuthResult:
        is_right = data == LoginPassword(b"me", b"secret")
        self.logins.append("in" if is_right else "refused")
        return AuthResult(success=is_right, handled=False)

    def __enter__(self) -> Mailbox:
        self._server.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.stop()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Key and certificate of 127.0.0.1 in one file, made for this test."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not there")
    path = tmp_path / "own.pem"
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    words += " -subj /CN=mail -addext subjectAltName=IP:127.0.0.1"
    command = [*words.split(), "-keyout", str(path), "-out", str(tmp_path / "only.pem")]
    subprocess.run(command, check=True, capture_output=True)
    path.write_text(path.read_text() + (tmp_path / "only.pem").read_text())
    return path


class Sent:
    """A book with one alert that is to be told through a channel."""

    def __init__(self, folder: Path, name: str, options: Options) -> None:
        self.book = AlertBook(folder / "alerts.json")
        self.channels = open_channels({name: options, "log": None})
        self.told: list[str] = []
        self.pauses: list[float] = []
        self.left = self.deliver(self.book.take(DRIFT, 0.0))

    def deliver(self, messages: Any = ()) -> int:
        left = deliver(
            self.book, list(messages), self.channels, self.told.append, self.pauses.append
        )
        self.book.write()
        self.book = AlertBook.read(self.book.path)
        return left


def test_a_webhook_gets_every_field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOOK, "secret")
    with webhook() as (url, came):
        assert Sent(tmp_path, "webhook", WebhookOptions(url=url, token=HOOK)).left == 0
        assert Sent(tmp_path, "webhook", WebhookOptions(url=url, form="text")).left == 0
    (_, bearer, content), (_, none, short) = came
    assert (bearer, none) == ("Bearer secret", None)
    assert content["what"] == "fired"
    assert (content["kind"], content["severity"], content["value"]) == ("drift", "page", 2.0)
    assert content["text"] == short["text"]
    assert short.keys() == {"text"}


def test_a_webhook_that_is_not_well_is_asked_again(tmp_path: Path) -> None:
    with webhook(503, 429) as (url, came):
        sent = Sent(tmp_path, "webhook", WebhookOptions(url=url))
        assert (sent.left, len(came), len(sent.pauses)) == (0, 3, 2)
    with webhook(500, 500, 500, 302) as (url, came):
        sent = Sent(tmp_path, "webhook", WebhookOptions(url=url))
        assert (sent.left, len(came)) == (1, 3)
        assert "webhook: 1 messages could not be delivered and are tried again" in sent.told[0]
        assert sent.deliver() == 1  # redirects lead nowhere
        assert len(came) == 4
        assert sent.deliver() == 0
    assert came[-1][2]["kind"] == "drift"
    gone = Sent(tmp_path, "webhook", WebhookOptions(url=url))
    assert gone.left == 1
    assert "refused" in gone.told[0]


def test_a_mail_goes_to_everybody(tmp_path: Path) -> None:
    with Mailbox() as box:
        options = EmailOptions(
            host="127.0.0.1", port=box.port, to="a@lab, b@lab", security="none", sender="me@lab"
        )
        assert Sent(tmp_path, "email", options).left == 0
    [envelope] = box.mails
    mail = message_from_bytes(envelope.original_content or b"", policy=default)
    assert envelope.rcpt_tos == ["a@lab", "b@lab"]
    assert mail["Subject"] == "seglab [fired] page: drift (b)"
    assert "What to do" in mail.get_content()


def test_a_mail_that_is_refused_is_kept(tmp_path: Path) -> None:
    with Mailbox(refuse="550 no such user") as box:
        options = EmailOptions(host="127.0.0.1", port=box.port, to="a@lab", security="none")
        sent = Sent(tmp_path, "email", options)
        assert sent.left == 1
        assert "no such user" in sent.told[0]
        box.refuse = ""
        assert sent.deliver() == 0
    starttls = options.replace(security="starttls", port=box.port)
    assert Sent(tmp_path, "email", starttls).left == 1  # never in the open instead


@pytest.mark.filterwarnings("ignore:Requiring AUTH")  # of the server, which takes TLS for none
@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_password_goes_through_a_closed_connection_to_who_can_be_trusted(
    security: Literal["starttls", "tls"],
    certificate: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    given: dict[str, Any] = {"tls_context": context, "require_starttls": True}
    if (
        security == "tls"
    ):  # the server's own word for what it is told of a connection that begins closed
        given = {"ssl_context": context, "auth_require_tls": False}
    monkeypatch.setenv(HOOK, "wrong")
    with Mailbox(auth_required=True, **given) as box:
        options = EmailOptions(
            host="127.0.0.1", port=box.port, to="a@lab", security=security, user="me", password=HOOK
        )
        sent = Sent(tmp_path, "email", options)
        assert sent.left == 1
        assert "certificate verify failed" in sent.told[0], "nobody vouches for this server"
        assert box.logins == []
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "only.pem"))
        sent = Sent(tmp_path, "email", options)
        assert sent.left == 1
        assert "535" in sent.told[0]
        monkeypatch.setenv(HOOK, "secret")
        assert Sent(tmp_path, "email", options).left == 0
    assert {"refused", "in"} == set(box.logins)
    [mail] = box.mails
    assert mail.rcpt_tos == ["a@lab"]


def test_what_channels_need_is_asked_for_before_anything_is_watched() -> None:
    email = EmailOptions(host="mail.lab", to="a@lab", user="me", security="none", password=NONE)
    with pytest.raises(ConfigError, match="variable NO_SUCH") as raised:
        open_channels({"email": email, "webhook": WebhookOptions(url="https://a", token=NONE)})
    assert len(raised.value.problems) == 2
    with pytest.raises(ConfigError, match="expected http"):
        WebhookOptions(url="ftp://a")


@pytest.mark.slow
def test_wandb_keeps_it_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    sent = Sent(tmp_path, "wandb", WandbOptions())
    assert (sent.left, sent.told) == (0, [])
    sent.channels["wandb"]._run.finish()  # type: ignore[attr-defined]
    [written] = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    wait_for(lambda: b"they drifted" in written.read_bytes(), 20)
