"""E-mail through Django's mail backend, as text and HTML, with the same Message-ID in all attempts."""

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
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends import smtp
from django.utils.encoding import punycode
from django.utils.translation import gettext_lazy as _

from durable import users
from notifications import attachments, unsubscribe
from notifications.channels.base import Channel, channels, unreachable_by_mail
from notifications.conf import notification_settings
from notifications.errors import DeliveryError
from notifications.kinds import EMAIL
from notifications.links import absolute, page_path
from notifications.rendering import one_line, render

if TYPE_CHECKING:
    from notifications.models import Delivery, Notification

CONNECTING = 10.0
"""Timeout in seconds for each reply of a server that is only checked, if the backend has no timeout."""
GOODBYE = 1.0
"""Timeout in seconds for the reply to QUIT. Short, because a crash before the mail is recorded would send it twice."""


@channels.register
class Email(Channel):
    key = EMAIL
    label = _("By e-mail")
    templates = ("subject.txt", "email.txt", "email.html")

    def unreachable(self, user: AbstractBaseUser) -> str:
        return unreachable_by_mail(user)

    def fault(self) -> str:
        """Connect to the mail server, sign in and disconnect. With another backend, only create the backend."""
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
            with get_connection() as server:  # connected and signed in
                _allow(server, notification_settings().mail_patience)
                delivery.hold()
                message.connection = server
                message.send()
                _allow(server, GOODBYE)
        except (OSError, ValueError, MessageError) as error:
            raise explain(error) from error


def _allow(server: Any, seconds: float) -> None:
    """Set the timeout for each reply of a connected mail server. Does nothing with other backends.

    The short timeout of EMAIL_URL is for connecting. A client that stops waiting for the reply to the message itself
    may send an accepted message again, so RFC 5321 (4.5.3.2.6) requires a long timeout.
    """
    sock = getattr(getattr(server, "connection", None), "sock", None)
    if sock is not None:
        sock.settimeout(seconds)


class Subject(str):
    """A subject that folds itself as in Django 5.2.

    Django 6.0 uses Python's newer code. In many releases it loses or doubles the space where a non-ASCII subject
    is folded, and in some it writes headers that strict servers refuse.
    """

    name = "Subject"  # marks it as a finished header for `email`

    def __str__(self) -> str:  # Django calls str(), which would return a plain string
        return self

    def fold(self, *, policy: EmailPolicy) -> str:
        charset = None if self.isascii() else "utf-8"
        words = Header(self, charset, header_name=self.name).encode(linesep=policy.linesep)
        return f"{self.name}: {words}{policy.linesep}"


def compose(delivery: Delivery) -> EmailMultiAlternatives:
    """Return the complete message. Raises DeliveryError if its attachment cannot be read."""
    notification = delivery.notification
    context = _context(notification)
    message = EmailMultiAlternatives(
        subject=Subject(one_line(render(notification.kind, "subject.txt", context))),
        body=render(notification.kind, "email.txt", context) + "\n",
        to=[users.address_of(notification.user)],
        headers={
            "Message-ID": message_id(delivery),
            "Auto-Submitted": "auto-generated",
            **unsubscribe.headers(notification),
        },
    )
    message.attach_alternative(render(notification.kind, "email.html", context), "text/html")
    if notification.attachment:
        message.attach(*_attachment(notification.attachment))
    return message


def message_id(delivery: Delivery) -> str:
    """Return the Message-ID of the delivery, which is the same in each attempt."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
    return f"<{delivery.message_id.hex}@{punycode(domain)}>"


def _context(notification: Notification) -> dict[str, Any]:
    return {
        **notification.context,
        "url": absolute(notification.link),
        "preferences_url": absolute(page_path("notifications:preferences")),
        "user_name": users.full_name_of(notification.user),
    }


def _attachment(key: str) -> tuple[str, bytes, str]:
    """Return name, content and type of the stored file. Raises DeliveryError: permanent if missing or too large."""
    name = PurePosixPath(key).name
    config = notification_settings()
    try:
        with attachments.storage().open(key, "rb") as file:
            if file.size > config.attachment_max_bytes:
                raise DeliveryError(
                    f"The attachment {name} is too large to mail: {file.size:,} bytes.",
                    permanent=True,
                    code="attachment_too_large",
                )
            return name, file.read(), mimetypes.guess_type(name)[0] or "application/octet-stream"
    except FileNotFoundError as error:
        raise DeliveryError(f"The attachment {name} is missing.", permanent=True, code="attachment_gone") from error
    except OSError as error:
        words = f"The attachment {name} cannot be read: {error}"
        raise DeliveryError(words, permanent=False, code="attachment_unreadable") from error


def explain(error: Exception) -> DeliveryError:
    """Return the DeliveryError for an exception of the mail backend.

    A 5xx reply to the recipient or to the message is permanent (RFC 5321, 4.2.1). A 5xx reply to the login or to the
    sender concerns our own configuration, which can be corrected, so it is temporary.
    """
    match error:
        case smtplib.SMTPRecipientsRefused(recipients=refused):
            code, reply = next(iter(refused.values()), (550, b""))
            permanent = all(code >= 500 for code, _reply in refused.values())
            return _refused("the address", code, reply, permanent=permanent)
        case smtplib.SMTPAuthenticationError(smtp_code=code, smtp_error=reply):
            return _refused("our login", code, reply, permanent=False, name="mail_login")
        case smtplib.SMTPSenderRefused(smtp_code=code, smtp_error=reply):
            return _refused("the sender", code, reply, permanent=code == 552)  # 552: message too large
        case smtplib.SMTPDataError(smtp_code=code, smtp_error=reply):
            return _refused("the message", code, reply, permanent=code >= 500)
        case OSError():  # includes the other errors of smtplib
            words = f"The mail server could not be used: {one_line(str(error)) or type(error).__name__}"
            return DeliveryError(words, permanent=False, code="mail_server")
        case _:
            words = f"The mail could not be composed: {one_line(str(error))}"
            return DeliveryError(words, permanent=True, code="mail_unwritable")


def _refused(what: str, code: int, reply: bytes | str, *, permanent: bool, name: str = "mail_refused") -> DeliveryError:
    text = reply.decode(errors="replace") if isinstance(reply, bytes) else reply
    return DeliveryError(one_line(f"The mail server refused {what}: {code} {text}"), permanent=permanent, code=name)
