"""Certificates of a control plane on loopback: one authority, the server's and an administrator's; by openssl."""

from pathlib import Path

from deploy.check.tools import program, run

DAYS = "2"


def write_certificates(folder: Path) -> None:
    """Write ca, server and admin (.crt and .key), and the key that signs tokens of service accounts (sa.key).

    Raises:
        CheckFailed: openssl is missing or failed.
    """
    openssl = program("openssl")
    for name in ("ca", "server", "admin", "sa"):
        run([openssl, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", folder / f"{name}.key"])
    run(
        [
            *(openssl, "req", "-x509", "-new", "-key", folder / "ca.key", "-subj", "/CN=mien-check", "-days", DAYS),
            *("-out", folder / "ca.crt", "-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        ]
    )
    _signed(openssl, folder, "server", "/CN=kube-apiserver", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    _signed(openssl, folder, "admin", "/O=system:masters/CN=admin", "extendedKeyUsage=clientAuth")


def _signed(openssl: str, folder: Path, name: str, subject: str, extension: str) -> None:
    request, extensions = folder / f"{name}.csr", folder / f"{name}.ext"
    extensions.write_text(f"basicConstraints=CA:FALSE\n{extension}\n")
    run([openssl, "req", "-new", "-key", folder / f"{name}.key", "-subj", subject, "-out", request])
    run(
        [
            *(openssl, "x509", "-req", "-in", request, "-CA", folder / "ca.crt", "-CAkey", folder / "ca.key"),
            *("-CAcreateserial", "-days", DAYS, "-extfile", extensions, "-out", folder / f"{name}.crt"),
        ]
    )
