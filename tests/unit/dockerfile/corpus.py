"""Dockerfiles with every feature and oddity that decides what a build needs.

The unit tests read them, and `tests/integration/test_scan.py` has BuildKit itself resolve each.
Git hosts are this one, as BuildKit asks a host that is reached by ssh for its keys at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ALPINE = "docker.io/library/alpine:latest"


@dataclass(frozen=True, slots=True)
class Case:
    """One build.

    Attributes:
        name: For messages.
        text: The Dockerfile.
        target: `--target`.
        args: `--build-arg`.
        onbuild: Triggers in images' configs, by full reference.
        build: The platform that it builds on.
        fails: BuildKit refuses it.
    """

    name: str
    text: str
    target: str = ""
    args: Mapping[str, str] = field(default_factory=dict)
    onbuild: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    build: str = "linux/amd64"
    fails: bool = False


PLATFORMS = ("linux/amd64", "linux/arm64", "linux/arm/v7")
"""Every case is resolved for each."""

CASES = [
    Case("one line", "FROM alpine"),
    Case("no newline at the end, blanks in front", "\n\n   FROM   alpine:3.20  "),
    Case("a digest", f"FROM alpine@sha256:{'a' * 64}\n"),
    Case("a tag and a digest", f"FROM alpine:3@sha256:{'b' * 64}\n"),
    Case("a registry with a port", "FROM localhost:5000/a/b:1\n"),
    Case(
        "Docker Hub in full", "FROM index.docker.io/library/alpine\nCOPY --from=docker.io/a/b / /"
    ),
    Case(
        "the seed's own",
        "FROM golang:alpine as builder\nADD . /go/src/app\n"
        "RUN cd /go/src/app && go get -v && CGO_ENABLED=0 go build -a -o app .\n"
        "FROM alpine\nMAINTAINER someone\nCOPY --from=builder /go/src/app/app /app\n"
        'ENTRYPOINT ["/app"]\nEXPOSE 8080\n',
    ),
    # Arguments.
    Case("ARG before FROM", "ARG V=3.20\nFROM alpine:$V\n"),
    Case("ARG before FROM, given", "ARG V=3.20\nFROM alpine:$V\n", args={"V": "edge"}),
    Case("an ARG that uses another", "ARG A=al\nARG B=${A}pine\nFROM ${B}:1\n"),
    Case("an ARG given that another uses", "ARG A=x\nARG B=$A-1\nFROM b:$B\n", args={"A": "y"}),
    Case("several in one ARG", "ARG A=alpine B=3\nFROM $A:$B\n"),
    Case("the same ARG twice", "ARG A=1\nARG A=2\nFROM a:$A\n"),
    Case("an ARG without a value", "ARG A\nFROM alpine$A\n"),
    Case("an ARG without a value, after one with", "ARG A=1\nARG A\nFROM a:$A\n"),
    Case("a quoted default", "ARG A=\"alpine:3\" B='x'\nFROM $A\nCOPY --from=b / /\n"),
    Case("a stage ARG is not there for FROM", "ARG A=1\nFROM a:$A\nARG A=2\nFROM b:$A\n"),
    Case("an undeclared build argument", "FROM alpine${V}\n", args={"V": "-x"}),
    Case("a default", "FROM ${A:-alpine}:${V:-3}\n"),
    Case("a default for what is empty", "ARG A=\nFROM ${A:-a}\nCOPY --from=b / /\n"),
    Case("a default that is not for what is empty", "ARG A=\nFROM x${A-a}\n"),
    Case("a default inside of a default", "ARG B=bb\nFROM ${A:-${B:-c}}\n"),
    Case("an alternative", "ARG DEBUG=1\nFROM alpine:3${DEBUG:+-debug}${NONE:+-none}\n"),
    Case("an alternative for what is empty", "ARG E=\nFROM a${E+b}${E:+c}\n"),
    Case("an error for what is set", "ARG A=alpine\nFROM ${A:?unset}\n"),
    Case("an error for what is not set", "FROM ${A:?unset}\n", fails=True),
    Case("an error for what is empty", "ARG A=\nFROM a${A?unset}\n"),
    Case("a suffix cut", "ARG V=3.20.1\nFROM a:${V%.*}\nCOPY --from=a:${V} / /\n", fails=True),
    Case("shortest suffix and prefix", "ARG V=a-b-c\nFROM a:${V%-*}\nFROM b:${V#*-}\n"),
    Case("longest suffix and prefix", "ARG V=a-b-c\nFROM a:${V%%-*}\nFROM b:${V##*-}\n"),
    Case("a prefix that is not there", "ARG V=1.2\nFROM a:${V#v}\n"),
    Case("one character", "ARG V=v12\nFROM a:${V#?}\n"),
    Case("replaced once", "ARG V=a.b.c\nFROM a:${V/./_}\n"),
    Case("replaced everywhere", "ARG V=a.b.c\nFROM a:${V//./_}\n"),
    Case("an unknown modifier", "ARG V=1\nFROM a:${V^^}\n", fails=True),
    Case("a brace that is not closed", "FROM ${V\n", fails=True),
    Case("an escaped dollar", "ARG V=1\nFROM a\\$V\n", fails=True),
    Case("single quotes keep a dollar", "ARG V='a$B'\nFROM ${V:+alpine}\n"),
    Case("a blank base", "ARG BASE\nFROM $BASE\n", fails=True),
    Case("a blank tag", "FROM alpine:$TAG\n", fails=True),
    Case("a blank base that is not reached", "FROM $B AS b\nFROM alpine\n", fails=True),
    Case("an invalid name that is not reached", "FROM Up/Case AS b\nFROM alpine\n", fails=True),
    # Platforms.
    Case(
        "on the build platform",
        "FROM --platform=$BUILDPLATFORM a AS b\nFROM c\nCOPY --from=b / /\n",
    ),
    Case(
        "on another build platform",
        "FROM --platform=${BUILDPLATFORM} a AS b\nFROM c\nCOPY --from=b / /\n",
        build="linux/arm64",
    ),
    Case("a fixed platform", "FROM --platform=linux/riscv64 a\nCOPY --from=b / /\n"),
    Case("an architecture alone", "FROM --platform=arm64 a\n"),
    Case("an operating system alone", "FROM --platform=linux a\n"),
    Case("a word that is no platform", "FROM --platform=x a\n", fails=True),
    Case("an alias", "FROM --platform=linux/aarch64 a\nFROM --platform=linux/armhf b\n"),
    Case("a platform with a variant", "FROM --platform=linux/arm/v6 a\n"),
    Case("a platform from an ARG", "ARG P=linux/s390x\nFROM --platform=$P a\n"),
    Case("a platform given", "ARG P\nFROM --platform=$P a\n", args={"P": "linux/ppc64le"}),
    Case("a blank platform", "ARG P\nFROM --platform=$P a\n", fails=True),
    Case("a platform that is not one", "FROM --platform=a/b/c/d a\n", fails=True),
    Case("a derived stage keeps its base's", "FROM --platform=linux/s390x a AS b\nFROM b\n"),
    Case("a derived stage cannot change it", "FROM a AS b\nFROM --platform=linux/s390x b\n"),
    Case(
        "COPY --from=IMAGE is for the target, not for its stage",
        "FROM --platform=linux/s390x a\nCOPY --from=b / /\nRUN --mount=from=c,target=/c true\n",
    ),
    Case("the target's parts", "FROM a:$TARGETOS-$TARGETARCH-x$TARGETVARIANT\n"),
    Case("the build's parts", "FROM a:$BUILDOS-$BUILDARCH-x$BUILDVARIANT\n", build="linux/arm/v7"),
    Case("a platform in a tag", "FROM a:${TARGETPLATFORM//\\//-}\n"),
    Case("the target's parts, given", "FROM a:$TARGETARCH\n", args={"TARGETARCH": "mine"}),
    Case("TARGETARCH with a default", "ARG TARGETARCH=x\nFROM a:$TARGETARCH\n"),
    Case("the target stage's name", "FROM a:$TARGETSTAGE AS one\nFROM one AS two\n"),
    Case("the target stage's name, given", "FROM a:$TARGETSTAGE AS one\nFROM b AS two\n", "one"),
    Case("the target stage without a name", "FROM a:$TARGETSTAGE\n"),
    Case(
        "a stage for each architecture",
        "ARG TARGETARCH\nFROM a AS base-amd64\nFROM b AS base-arm64\nFROM c AS base-arm\n"
        "FROM base-${TARGETARCH}\nRUN true\n",
    ),
    # Stages.
    Case("scratch", "FROM scratch\nCOPY a b\n"),
    Case(
        "scratch for COPY and RUN",
        "FROM a\nCOPY --from=scratch / /\nRUN --mount=from=scratch,target=/x true\n",
    ),
    Case("a stage with an image's name", "FROM a AS alpine\nFROM alpine\n"),
    Case("a stage called scratch", "FROM a AS scratch\nFROM scratch\n"),
    Case("a stage with its own base's name", "FROM alpine AS alpine\nFROM alpine AS alpine\n"),
    Case("two stages of one name", "FROM a AS x\nFROM b AS x\nFROM c\nCOPY --from=x / /\n"),
    Case("a stage's name in capitals", "FROM a AS Builder\nFROM b\nCOPY --from=BUILDER / /\n"),
    Case("FROM minds capitals", "FROM a AS Builder\nFROM Builder\n", fails=True),
    Case("a stage that is not reached", "FROM a AS x\nRUN y\nFROM b\n"),
    Case("a target in the middle", "FROM a AS x\nFROM b AS y\nFROM c\n", "x"),
    Case("a target in capitals", "FROM a AS x\nFROM b AS y\n", "X"),
    Case("a target that is not there", "FROM a AS x\n", "y", fails=True),
    Case(
        "a chain", "FROM a AS one\nFROM one AS two\nFROM two AS three\nFROM x AS no\nFROM three\n"
    ),
    Case("a stage by number", "FROM a\nFROM b\nFROM c\nCOPY --from=0 / /\n"),
    Case("a stage by an odd number", "FROM a\nFROM b\nCOPY --from=+00 / /\n"),
    Case("a number beyond the stages", "FROM a\nCOPY --from=5 / /\n", fails=True),
    Case("the number of an image", "FROM a\nCOPY --from=x / /\nCOPY --from=1 / /\n"),
    Case(
        "the number of an image that is counted again",
        "FROM a\nCOPY --from=x / /\n"
        "COPY --from=1 / /\nCOPY --from=2 / /\nCOPY --from=b / /\nCOPY --from=4 / /\n",
    ),
    Case("a negative number", "FROM a\nCOPY --from=-1 / /\n", fails=True),
    Case("RUN takes no numbers", "FROM a\nFROM b\nRUN --mount=from=0,target=/x true\n"),
    Case("a later stage", "FROM a\nCOPY --from=later / /\nFROM b AS later\n", target=""),
    Case(
        "a later stage that is needed",
        "FROM a AS x\nCOPY --from=y / /\nFROM b AS y\nFROM x\n",
        fails=True,
    ),
    Case(
        "stages in a circle",
        "FROM a AS x\nCOPY --from=y / /\nFROM b AS y\nCOPY --from=x / /\n",
        fails=True,
    ),
    Case("a stage from itself", "FROM a AS x\nCOPY --from=x / /\n", fails=True),
    Case("a name that is not one", "FROM a AS 1x\n", fails=True),
    Case("FROM with two words", "FROM a b\n", fails=True),
    # COPY and RUN.
    Case("COPY --from=IMAGE", "FROM a\nCOPY --from=b:1 --chown=1:1 /x /y\n"),
    Case(
        "COPY --from with a variable", "ARG I=b\nFROM a\nARG I\nCOPY --from=${I} / /\n", fails=True
    ),
    Case("the way round it", "ARG I=b\nFROM $I AS i\nFROM a\nCOPY --from=i / /\n"),
    Case("a quoted flag is not a flag", 'FROM a\nCOPY "--from=b" / /\n'),
    Case("COPY in JSON", 'FROM a\nCOPY --from=b ["/x y", "/z"]\n'),
    Case("COPY --link", "FROM a\nCOPY --link --from=b --chmod=755 /x /y\n"),
    Case("COPY --parents", "FROM a\nCOPY --parents --exclude=*.x --from=b /x/y /\n"),
    Case(
        "RUN --mount from an image",
        "FROM a\nRUN --mount=type=bind,from=b,source=/x,target=/y cat /y\n",
    ),
    Case("RUN --mount from a stage", "FROM a AS s\nFROM b\nRUN --mount=from=s,target=/y cat /y\n"),
    Case(
        "RUN --mount of a cache from an image",
        "FROM a\nRUN --mount=type=cache,from=b,target=/y true\n",
    ),
    Case("two mounts", "FROM a\nRUN --mount=from=b,target=/b --mount=from=c,target=/c true\n"),
    Case("a mount in capitals", "FROM a\nRUN --mount=TYPE=bind,FROM=b,target=/b true\n"),
    Case("a mount in quotes", 'FROM a\nRUN --mount=type=bind,"from=b",target=/b true\n'),
    Case(
        "a mount with a variable",
        "FROM a\nARG B=b\nRUN --mount=from=$B,target=/b true\n",
        fails=True,
    ),
    Case(
        "mounts from nowhere",
        "FROM a\nRUN --mount=type=cache,target=/c --mount=type=secret,id=x \\\n"
        "  --mount=type=tmpfs,target=/t true\n",
    ),
    Case(
        "a mount with a variable elsewhere", "FROM a\nARG D=/d\nRUN --mount=from=b,target=$D true\n"
    ),
    Case(
        "RUN --network and --security",
        "FROM a\nRUN --network=none true\nRUN --network=default --mount=from=b,target=/b true\n",
    ),
    # What is written.
    Case("lower case", "from a as x\nrun true\nfrom b\ncopy --from=x / /\n"),
    Case("mixed case", "FrOm a aS x\nFrom b\nCoPy --from=x / /\n"),
    Case(
        "continuations",
        "FROM \\\n  --platform=linux/s390x \\\n  a \\\n  AS x\n"
        "FROM b\nCOPY \\\n --from=c \\\n / /\n",
    ),
    Case(
        "comments in continuations",
        "FROM a\nRUN x && \\\n# FROM b\n   # FROM c\n  y\nCOPY --from=d / /\n",
    ),
    Case("empty lines in continuations", "FROM a\nRUN x && \\\n\n\n  y\nCOPY --from=d / /\n"),
    Case("a word in two pieces", "FR\\\nOM al\\\npine\nRUN true\n"),
    Case("blanks after the backslash", "FROM a\nRUN x \\  \n  y\nCOPY --from=d / /\n"),
    Case("two backslashes do not continue", "FROM a\nRUN echo \\\\\nCOPY --from=d / /\n"),
    Case("a backslash at the end of the file", "FROM a\nRUN x \\\n"),
    Case("escape", "# escape=`\nFROM a AS x\nRUN dir c:\\\nFROM `\n  b\nCOPY --from=x / /\n"),
    Case(
        "escape, and an escaped dollar",
        "# escape=`\nARG V=1\nFROM a:${V}\nADD https://x.test/`$V /\n",
    ),
    Case(
        "escape after a comment does not count",
        "# hello\n# escape=`\nFROM a\nRUN x `\nCOPY --from=b / /\n",
        fails=False,
    ),
    Case("escape twice", "# escape=`\n# escape=`\nFROM a\n", fails=True),
    Case("an escape that is not one", "# escape=x\nFROM a\n", fails=True),
    Case(
        "CRLF",
        "# syntax=docker/dockerfile:1.4\r\nARG V=1\r\nFROM a:$V AS x\r\n"
        "RUN x && \\\r\n  y\r\nFROM b\r\nCOPY --from=x / /\r\n",
    ),
    Case("a byte order mark", "\ufeff# syntax=docker/dockerfile:1.5\nFROM a\nCOPY --from=b / /\n"),
    Case("a byte order mark before FROM", "\ufeffFROM a\n"),
    Case("tabs", "\tFROM\ta\tAS\tx\n\tFROM b\n\tCOPY\t--from=x\t/\t/\n"),
    Case("comments", "# FROM x\nFROM a # not a comment\n", fails=True),
    Case("a comment at the end", "FROM a\n  # FROM x\n#FROM y"),
    Case("a heredoc", "FROM a\nRUN <<EOF\nFROM b\nCOPY --from=c / /\nEOF\nCOPY --from=d / /\n"),
    Case("a quoted heredoc", "FROM a\nRUN <<'E O' cat\nFROM b\nE O\nCOPY --from=d / /\n"),
    Case("a heredoc with tabs", "FROM a\nRUN <<-EOF\n\tFROM b\n\tEOF\nCOPY --from=d / /\n"),
    Case(
        "two heredocs",
        "FROM a\nCOPY <<ONE <<TWO /x/\nFROM b\nONE\nFROM c\nTWO\nCOPY --from=d / /\n",
    ),
    Case("a heredoc for a program", "FROM a\nRUN python3 <<EOF\nFROM b\nEOF\nCOPY --from=d / /\n"),
    Case("a heredoc that has a continuation", "FROM a\nRUN <<EOF\nx \\\nEOF\nCOPY --from=d / /\n"),
    Case(
        "a heredoc after a flag",
        "FROM a\nCOPY --chmod=755 <<EOF /x\n# escape=`\nEOF\nCOPY --from=d / /\n",
    ),
    Case("a heredoc in CRLF", "FROM a\r\nRUN <<EOF\r\nFROM b\r\nEOF\r\nCOPY --from=d / /\r\n"),
    Case("a heredoc with no end", "FROM a\nRUN <<EOF\nFROM b\n", fails=True),
    Case(
        "no heredoc", "FROM a\nRUN x <<< EOF\nRUN $((1<<2))\nRUN cat << 1\n1\nCOPY --from=d / /\n"
    ),
    Case("no heredoc in JSON", 'FROM a\nRUN ["x", "<<EOF"]\nCOPY --from=d / /\n'),
    Case("no heredoc in CMD", "FROM a\nCMD x <<EOF\nCOPY --from=d / /\n"),
    Case("RUN in JSON", 'FROM a\nRUN ["apt-get", "update"]\nRUN [ "x" \nCOPY --from=d / /\n'),
    Case("JSON that is not strings", "FROM a\nRUN [1]\n", fails=True),
    Case(
        "SHELL, USER and so on",
        'FROM a\nSHELL ["/bin/sh"]\nUSER x\nWORKDIR /y\nVOLUME /z\nSTOPSIGNAL 9\n'
        "HEALTHCHECK NONE\nLABEL a=b\nENV c=d e=f\nENV g h i\n",
    ),
    Case("an unknown instruction", "FROM a\nFETCH x\n", fails=True),
    Case("something before FROM", "RUN x\nFROM a\n", fails=True),
    Case("ENV without a value", "FROM a\nENV x\n", fails=True),
    Case("an empty file", "", fails=True),
    Case("comments alone", "# FROM a\n", fails=True),
    Case("ARG alone", "ARG a\n", fails=True),
    # Frontends.
    Case("a frontend", "# syntax=docker/dockerfile:1\nFROM a\n"),
    Case("a frontend with arguments", "#syntax = docker/dockerfile:1.7-labs x y\nFROM a\n"),
    Case("a frontend in capitals, second", "# escape=\\\n# SYNTAX=docker/dockerfile:1\nFROM a\n"),
    Case(
        "a frontend after a comment does not count", "# hi\n# syntax=docker/dockerfile:1\nFROM a\n"
    ),
    Case(
        "a frontend after an empty line does not count", "\n# syntax=docker/dockerfile:1\nFROM a\n"
    ),
    Case(
        "a frontend after a shebang",
        "#!/usr/bin/env buildit\n# syntax=docker/dockerfile:1\nFROM a\n",
    ),
    Case("a frontend that is not at the margin", " # syntax=docker/dockerfile:1\nFROM a\n"),
    Case("an unknown directive ends them", "# foo=bar\n# syntax=docker/dockerfile:1\nFROM a\n"),
    Case("a check directive does not", "# check=skip=all\n# syntax=docker/dockerfile:1\nFROM a\n"),
    # ADD.
    Case("ADD URL", "FROM a\nADD https://x.test/y.tar.gz http://x.test/z /dir/\n"),
    Case(
        "ADD URL with an ARG",
        "FROM a\nARG V=1\nADD https://x.test/$V /\nARG V=2\nADD https://x.test/${V} /\n",
    ),
    Case(
        "ADD URL with what is given", "FROM a\nARG V=1\nADD https://x.test/$V /\n", args={"V": "9"}
    ),
    Case("ADD URL with a global ARG", "ARG V=1\nFROM a\nARG V\nADD https://x.test/$V /\n"),
    Case("ADD URL with ENV", "FROM scratch\nENV V=1 W=$V\nENV W=$V-$W\nADD https://x.test/$W /\n"),
    Case(
        "ENV and ARG of one name",
        "FROM a\nENV V=1\nARG V=2\nADD https://x.test/$V /\nENV V=3\nADD https://x.test/$V /\n",
    ),
    Case("an ARG without a value keeps ENV", "FROM a\nENV V=1\nARG V\nADD https://x.test/$V /\n"),
    Case(
        "ARG and ENV are inherited",
        "FROM a AS b\nARG V=1\nENV W=2\nFROM b\nADD https://x.test/$V$W /\n",
    ),
    Case(
        "ADD URL for a platform",
        "FROM a\nARG TARGETARCH TARGETVARIANT\nADD https://x.test/$TARGETARCH$TARGETVARIANT /\n",
    ),
    Case(
        "ADD URL from scratch with what is not set", "FROM scratch\nADD https://x.test/a$NONE /\n"
    ),
    Case(
        "ADD URL with a checksum",
        f"FROM a\nADD --checksum=sha256:{'c' * 64} --unpack=true https://x.test/y /\n",
    ),
    Case("ADD URL in JSON", 'FROM a\nADD ["https://x.test/y", "/z z"]\n'),
    Case(
        "ADD URL that is not reached",
        "FROM a AS x\nADD https://x.test/no /\nFROM b\nADD https://x.test/yes /\n",
    ),
    Case(
        "ADD from git",
        "FROM a\nADD https://x.test/y.git#v1 /a\n"
        "ADD git@localhost:y/z.git /b\nADD ssh://git@localhost/y /c\n",
    ),
    Case(
        "ADD from git with a query",
        "FROM a\nADD https://x.test/y.git?ref=v1 /a\nADD git://x.test/y /b\n",
    ),
    Case(
        "ADD of what only looks like git",
        "FROM a\nADD https://x.test/y.git.tar /a\nADD github.com/x/y /b\nADD y.git /c\n",
    ),
    Case(
        "ADD with a heredoc",
        "FROM a\nADD <<EOF https://x.test/y /z/\nADD https://x.test/no /\nEOF\n",
    ),
    # ONBUILD.
    Case("ONBUILD in the file", "FROM a AS x\nONBUILD COPY --from=b / /\nFROM x\n"),
    Case("ONBUILD that nobody triggers", "FROM a\nONBUILD COPY --from=b / /\n"),
    Case("ONBUILD goes one step", "FROM a AS x\nONBUILD COPY --from=b / /\nFROM x AS y\nFROM y\n"),
    Case(
        "ONBUILD goes one step, and no more",
        "FROM a AS x\nONBUILD ADD https://x.test/y /\nFROM x AS y\n"
        "FROM y AS z\nONBUILD ADD https://x.test/no /\n",
    ),
    Case("ONBUILD RUN --mount", "FROM a AS x\nONBUILD RUN --mount=from=b,target=/b true\nFROM x\n"),
    Case(
        "ONBUILD with a heredoc",
        "FROM a AS x\nONBUILD RUN <<EOF\nFROM no\nONBUILD RUN no\nEOF\n"
        "ONBUILD COPY --from=b / /\nFROM x\n",
    ),
    Case("ONBUILD in a heredoc", "FROM a\nRUN <<EOF\nONBUILD RUN <<X\nEOF\nCOPY --from=b / /\n"),
    Case(
        "ONBUILD with a continuation",
        "FROM a AS x\nonbuild \\\n  copy \\\n  --from=b / /\nFROM x\n",
    ),
    Case(
        "ONBUILD names a stage",
        "FROM s AS stage\nFROM a AS x\nONBUILD COPY --from=stage / /\nFROM x\n",
    ),
    Case("ONBUILD ARG", "FROM a AS x\nONBUILD ARG V=1\nONBUILD ADD https://x.test/$V /\nFROM x\n"),
    Case("ONBUILD ONBUILD", "FROM a\nONBUILD ONBUILD RUN x\n", fails=True),
    Case("ONBUILD FROM", "FROM a\nONBUILD FROM x\n", fails=True),
    Case("ONBUILD and nothing", "FROM a\nONBUILD\n", fails=True),
    Case(
        "ONBUILD in an image",
        "FROM alpine\n",
        onbuild={ALPINE: ("COPY --from=b / /", "ADD https://x.test/y /")},
    ),
    Case(
        "ONBUILD in an image for COPY",
        "FROM a\nCOPY --from=alpine / /\n",
        onbuild={ALPINE: ("COPY --from=b / /",)},
    ),
    Case(
        "ONBUILD in an image, once",
        "FROM alpine AS x\nFROM x\n",
        onbuild={ALPINE: ("ADD https://x.test/y /",)},
    ),
    Case(
        "ONBUILD in an image names the stage itself",
        "FROM alpine AS x\nRUN true\n",
        onbuild={ALPINE: ("COPY --from=x / /",)},
    ),
    Case(
        "ONBUILD in an image reaches a stage with ONBUILD",
        "FROM alpine AS s\nFROM alpine AS no\nFROM b\n",
        onbuild={
            "docker.io/library/b:latest": ("COPY --from=s / /",),
            ALPINE: ("COPY --from=c / /",),
        },
    ),
    Case(
        "ONBUILD in an image that is no trigger",
        "FROM alpine\n",
        onbuild={ALPINE: ("FROM b",)},
        fails=True,
    ),
]
