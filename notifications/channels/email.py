"""E-mail through Django's mail backend: text and HTML, and one Message-ID for all attempts."""

from __future__ import annotations

import mimetypes
import smtplib
from email.errors import MessageError
from email.header import Header
from email.policy import EmailPolicy
from email.utils import parseaddr
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.files.storage import storages
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends import smtp
from django.urls import reverse
from django.utils.encoding import punycode
from django.utils.translation import gettext_lazy as _

from notifications.channels.base import Channel, channels
from notifications.conf import notification_settings
from notifications.errors import DeliveryError
from notifications.kinds import EMAIL
from notifications.rendering import one_line, render

if TYPE_CHECKING:
    from notifications.models import Delivery, Notification

CONNECTING = 10.0
"""Seconds for each answer of a server that is only tried, where the backend's own timeout is none."""
GOODBYE = 1.0
"""Seconds for the answer to QUIT: the mail is sent, and dying before that is written down would send it twice."""


@channels.register
class Email(Channel):
    key = EMAIL
    label = _("By e-mail")
    templates = ("subject.txt", "email.txt", "email.html")

    def unreachable(self, user: AbstractBaseUser) -> str:
        if not user.is_active:
            return "The user's account is not active."
        return "" if address(user) else "The user has no e-mail address."

    def fault(self) -> str:
        """Connect to the mail server, sign in, and leave. Of another backend only its constructor is tried."""
        server = get_connection()
        if not isinstance(server, smtp.EmailBackend):
            return ""
        server.timeout = server.timeout or CONNECTING
        try:
            with server:
                _allow(server, GOODBYE)
        except OSError as error:
            where = f"{server.host}:{server.port}"
            return f"{explain(error)} ({where}). Check EMAIL_URL, or EMAIL_HOST and the settings beside it."
        return ""

    def deliver(self, delivery: Delivery) -> None:
        message = compose(delivery)
        try:
            with get_connection() as server:  # connected and signed in: what comes next is the mail itself
                _allow(server, notification_settings().mail_patience)
                delivery.hold()
                message.connection = server
                message.send()
                _allow(server, GOODBYE)
        except (OSError, ValueError, MessageError) as error:
            raise explain(error) from error


def _allow(server: Any, seconds: float) -> None:
    """Let a mail server, where it is one, take so long for each answer.

    Connecting has the short timeout of EMAIL_URL. But whoever gives up before the answer to the message itself will
    send again what was taken all the same, for which RFC 5321 (4.5.3.2.6) asks for patience.
    """
    sock = getattr(getattr(server, "connection", None), "sock", None)
    if sock is not None:
        sock.settimeout(seconds)


def address(user: AbstractBaseUser) -> str:
    return str(getattr(user, user.get_email_field_name(), "") or "").strip()


class Subject(str):
    """A subject that folds itself, in the way that Django 5.2 does it.

    Django 6.0 leaves that to Python's newer code, which in many releases loses or doubles the space where a subject
    in another script goes on to the next line, and in some writes what strict servers refuse.
    """

    name = "Subject"  # by its name, `email` knows it for a header that is ready

    def __str__(self) -> str:  # Django asks for it, and would get a plain one
        return self

    def fold(self, *, policy: EmailPolicy) -> str:
        charset = None if self.isascii() else "utf-8"
        words = Header(self, charset, header_name=self.name).encode(linesep=policy.linesep)
        return f"{self.name}: {words}{policy.linesep}"


def compose(delivery: Delivery) -> EmailMultiAlternatives:
    """The whole message. Raises DeliveryError when its attachment cannot be read."""
    notification = delivery.notification
    context = _context(notification)
    message = EmailMultiAlternatives(
        subject=Subject(one_line(render(notification.kind, "subject.txt", context))),
        body=render(notification.kind, "email.txt", context) + "\n",
        to=[address(notification.user)],
        headers={"Message-ID": message_id(delivery), "Auto-Submitted": "auto-generated"},
    )
    message.attach_alternative(render(notification.kind, "email.html", context), "text/html")
    if notification.attachment:
        message.attach(*_attachment(notification.attachment))
    return message


def message_id(delivery: Delivery) -> str:
    """The delivery's own Message-ID, the same in each attempt."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
    return f"<{delivery.message_id.hex}@{punycode(domain)}>"


def _context(notification: Notification) -> dict[str, Any]:
    site = notification_settings().site_url.rstrip("/")
    return {
        **notification.context,
        "url": site + notification.link if notification.link else "",
        "preferences_url": site + reverse("notifications:preferences"),
        "user_name": notification.user.get_full_name(),
    }


def _attachment(key: str) -> tuple[str, bytes, str]:
    """Name, content and type of the stored file. Raises DeliveryError, permanent when it is gone or large."""
    name = PurePosixPath(key).name
    config = notification_settings()
    try:
        with storages[config.attachment_storage].open(key, "rb") as file:
            if file.size > config.attachment_max_bytes:
                raise DeliveryError(
                    f"The attachment {name} is too large to mail: {file.size:,} bytes.",
                    permanent=True,
                    code="attachment_too_large",
                )
            return name, file.read(), mimetypes.guess_type(name)[0] or "application/octet-stream"
    except FileNotFoundError as error:
        raise DeliveryError(f"The attachment {name} is gone.", permanent=True, code="attachment_gone") from error
    except OSError as error:
        words = f"The attachment {name} cannot be read: {error}"
        raise DeliveryError(words, permanent=False, code="attachment_unreadable") from error


def explain(error: Exception) -> DeliveryError:
    """What the mail backend raised, in words, and whether trying again can help.

    A reply of 5xx to the recipient or to the message is final (RFC 5321, 4.2.1). One to the login or the
    sender is about our own set-up, which somebody will mend, so it is tried again.
    """
    match error:
        case smtplib.SMTPRecipientsRefused(recipients=refused):
            code, reply = next(iter(refused.values()), (550, b""))
            permanent = all(code >= 500 for code, _reply in refused.values())
            return _refused("the address", code, reply, permanent=permanent)
        case smtplib.SMTPAuthenticationError(smtp_code=code, smtp_error=reply):
            return _refused("our login", code, reply, permanent=False, name="mail_login")
        case smtplib.SMTPSenderRefused(smtp_code=code, smtp_error=reply):
            return _refused("the sender", code, reply, permanent=code == 552)  # 552: larger than it takes
        case smtplib.SMTPDataError(smtp_code=code, smtp_error=reply):
            return _refused("the message", code, reply, permanent=code >= 500)
        case OSError():  # smtplib's other errors among them
            words = f"The mail server could not be used: {one_line(str(error)) or type(error).__name__}"
            return DeliveryError(words, permanent=False, code="mail_server")
        case _:
            words = f"The mail cannot be written: {one_line(str(error))}"
            return DeliveryError(words, permanent=True, code="mail_unwritable")


def _refused(what: str, code: int, reply: bytes | str, *, permanent: bool, name: str = "mail_refused") -> DeliveryError:
    text = reply.decode(errors="replace") if isinstance(reply, bytes) else reply
    return DeliveryError(one_line(f"The mail server refused {what}: {code} {text}"), permanent=permanent, code=name)
