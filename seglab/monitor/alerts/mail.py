"""Alerts as e-mail."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from seglab.core.errors import ConfigError
from seglab.monitor.alerts.book import Message
from seglab.monitor.alerts.channels import UndeliveredError, secret
from seglab.monitor.alerts.options import EmailOptions

_LOCAL = ("localhost", "127.0.0.1", "::1")


class Email:
    """Sends messages through an SMTP server.

    Raises:
        ConfigError: There is no password for the user, or it would go through an open connection.
    """

    def __init__(self, options: EmailOptions) -> None:
        self.options = options
        self._password = secret(options.password, "email.password")
        if (options.user is None) != (self._password is None):
            raise ConfigError("email.user, email.password: expected both or neither")
        if options.security == "none" and options.user and options.host not in _LOCAL:
            raise ConfigError(
                "email.security: none would send the password through an open connection"
            )

    def send(self, message: Message) -> None:
        """Send it to every address; each alert is a thread of its own in the reader's mailbox."""
        options, mail = self.options, EmailMessage()
        mail["Subject"] = f"seglab {message.title}"
        mail["From"], mail["To"] = options.sender, options.to
        mail["Date"], mail["Message-ID"] = formatdate(message.time), make_msgid(domain="seglab")
        mail.set_content(message.text)
        try:
            with self._connect() as server:
                if options.security == "starttls":
                    server.starttls(context=ssl.create_default_context())
                if options.user and self._password:
                    server.login(options.user, self._password)
                refused = server.send_message(mail)
        except smtplib.SMTPResponseException as error:
            text = error.smtp_error
            shown = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
            again = 400 <= error.smtp_code < 500
            raise UndeliveredError(f"{error.smtp_code} {shown}", again) from error
        except (OSError, smtplib.SMTPException) as error:
            raise UndeliveredError(str(error) or type(error).__name__) from error
        if refused:
            raise UndeliveredError(f"refused for {', '.join(refused)}", again=False)

    def _connect(self) -> smtplib.SMTP:
        options = self.options
        if options.security == "tls":
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(
                options.host, options.port, timeout=options.timeout, context=context
            )
        return smtplib.SMTP(options.host, options.port, timeout=options.timeout)
