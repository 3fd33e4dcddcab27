"""`README.txt`: how to check a bundle with stock tools, and then install it."""

from __future__ import annotations

from airgap.bundle.contents import IMAGES_TAR, REPLAY_TAR, Contents
from airgap.printable import printable
from airgap.trust.keys import PublicKey

_CHECK = {
    "ecdsa-p256": "openssl dgst -sha256 -verify {key}.pub -signature SHA256SUMS.sig SHA256SUMS",
    "ed25519": "openssl pkeyutl -verify -pubin -inkey {key}.pub -rawin -in SHA256SUMS "
    "-sigfile SHA256SUMS.sig",
}
_TEXT = """\
airgap bundle {name}, serial {serial}, made {created}
{count} images for hosts of {hosts}
{recordings}{volumes}
Nothing on this medium can prove itself genuine. You need {key}.pub, the public key of
whoever made the bundle, from another way than this medium. Its fingerprint is
what whoever made it tells you; this file does not count as saying it.

1. First visit: check before anything from here runs. As root, in a folder of root's own,
   into which you have put {key}.pub (install -d -m 0700 /root/airgap):

   cd /root/airgap
   cp MEDIUM/SHA256SUMS MEDIUM/SHA256SUMS.sig .
   install -D MEDIUM/tool/airgap.pyz tool/airgap.pyz
   {check}
   sha256sum --ignore-missing -c SHA256SUMS

2. Then install, with the tool that was just checked:

   python3 -I tool/airgap.pyz trust add {key}.pub

   Compare the fingerprint that it prints with the one that you were told, all of it.
   Only if they are the same:

   python3 -I tool/airgap.pyz install MEDIUM

   Later visits need only:  airgap install MEDIUM

3. Build:

   docker buildx build --builder airgap --platform linux/amd64,linux/arm64 \\
     -t 127.0.0.1:5000/you/app --push .
{build}
To check every file of a medium, in its folder:

   sha256sum --ignore-missing -c /root/airgap/SHA256SUMS

Images without any of this:  docker load -i images.tar{joined}
"""
_RECORDINGS = """
What the RUN steps of these builds ask the network for is here too:
"""
_BUILD = """
   What was recorded is built with  airgap build  instead of  docker buildx build,
   and the same arguments.
"""
_VOLUMES = """
{tar} is cut into {count} files, {first} to {last}.
"""
_MEDIA = """
Files may be on several media. MEDIUM is the one with this file. All are needed at once:
name the folders of the others behind it, as in  install MEDIUM OTHER OTHER
"""


def render(contents: Contents, key: PublicKey) -> str:
    """Return the text, with this bundle's names filled in.

    Args:
        contents: What the bundle is; of its files at least the volumes are known.
        key: The signer's.
    """
    images = [volume.name for volume in contents.volumes]
    replay = [volume.name for volume in contents.replay_volumes]
    cut = {tar: names for tar, names in ((IMAGES_TAR, images), (REPLAY_TAR, replay)) if names[1:]}
    volumes = "".join(
        _VOLUMES.format(tar=tar, count=len(names), first=names[0], last=names[-1])
        for tar, names in cut.items()
    )
    text = _TEXT.format(
        name=contents.name,
        serial=contents.serial,
        created=contents.created,
        count=len(contents.images),
        hosts=", ".join(contents.host_platforms),
        key=key.name,
        check=_CHECK[key.algorithm].format(key=key.name),
        recordings=_recordings(contents),
        build=_BUILD if contents.recordings else "",
        volumes=volumes + _MEDIA if cut else "",
        joined=f" (first: cat {' '.join(images)} > images.tar)" if images[1:] else "",
    )
    return printable(text, kept="\n")


def _recordings(contents: Contents) -> str:
    """Return a line for each recording."""
    lines = [
        f"  {recording.name}  {', '.join(recording.platforms)}"
        + (f"  (with apt's checks of dates until {recording.until})" if recording.until else "")
        for recording in contents.recordings
    ]
    return "\n".join([_RECORDINGS.rstrip(), *lines, ""]) if lines else ""
