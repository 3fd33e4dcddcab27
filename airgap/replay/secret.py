"""The one rule for what is secret: names of parameters, headers and arguments, shapes of values."""

from __future__ import annotations

import re

REDACTED = "REDACTED"

# Anywhere in a name, in lower case and without what separates its words.
_SECRET = re.compile(
    """
    token | pass | secret | key | auth | credential | creds?$ | session | sig | jwt | bearer
    | cookie | hmac | otp$ | ^otp | pwd | ticket | assertion | sessid | ^policy$ | ^hdne?[at]s?$
    | ^googleaccessid$ | ^sas$ | ^xjfrogartapi$ | ^xgoogapi
    """,
    re.VERBOSE,
)
# Words that have such letters in them, and say nothing of a secret.
_HARMLESS = re.compile(
    """
    authors? (?! i[sz] ) | authority | authenticode | keywords? | keyboards? | keyservers?
    | keyrings? | keycloak | keydb | keynote | keyspace | keyframes? | monkey | turkey | hockey
    | whiskey | donkey
    | compass | bypass(?:es)? | passive | passenger | passthrough | passage | passbolt
    | design(?:s|er|ed)? | assign(?:s|ed|ment)? | signals? | signed(?:by)? | insights? | significant
    | sigstore | tokeni[sz](?:er|ers|e|ation)
    """,
    re.VERBOSE,
)
# So short that only a whole word counts.
_SECRET_WORD = re.compile(r"(?<![a-z0-9])(?:pat|sid|pw|psw)(?![a-z0-9])", re.IGNORECASE)
_WORD_PARTS = re.compile(r"[^A-Za-z0-9]+")
# How well-known kinds of secrets look, and nothing else does.
_SHAPES = re.compile(
    r"""
    (?<![A-Za-z0-9])
    (?:
      gh[a-z]_[A-Za-z0-9]{16,} | github_pat_[A-Za-z0-9_]{16,}
    | gl(?:pat|dt|rt|rtr|cbt|ptt|ft|imt|agent|soat|ffct|wt)-[A-Za-z0-9_.-]{16,}
    | gloas-[A-Za-z0-9_.-]{16,} | GR1348941[A-Za-z0-9_-]{16,}
    | npm_[A-Za-z0-9]{16,} | pypi-(?:AgE[A-Za-z0-9_-]{8,}|[A-Za-z0-9_]{16,})
    | rubygems_[0-9a-f]{32,} | cio[A-Za-z0-9]{32} | oy2[a-z0-9]{43} | dckr_[a-z]+_[A-Za-z0-9_-]{16,}
    | eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)*
    | A(?:KIA|SIA|ROA|IDA|BIA)[A-Z0-9]{12,} | LTAI[A-Za-z0-9]{12,}
    | AIza[A-Za-z0-9_-]{30,} | ya29\.[A-Za-z0-9_-]{16,}
    | xox[a-z]-[A-Za-z0-9-]{10,} | xapp-[A-Za-z0-9-]{16,}
    | hf_[A-Za-z0-9]{16,} | sk-(?:[a-z0-9]{2,12}-){0,2}[A-Za-z0-9_]{16,}
    | [rs]k_(?:live|test)_[A-Za-z0-9]{10,} | AKCp[A-Za-z0-9]{10,} | cmVmd[A-Za-z0-9]{10,}
    | hv[sb]\.[A-Za-z0-9_-]{16,} | do[a-z]_v1_[0-9a-f]{32,} | glsa_[A-Za-z0-9_]{16,}
    | SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,} | shp[a-z]{2}_[0-9a-fA-F]{16,}
    | AT(?:ATT|CTT|STT|BB)[A-Za-z0-9_=-]{16,} | GOCSPX-[A-Za-z0-9_-]{16,} | 1//0[A-Za-z0-9_-]{24,}
    | (?: bkua | clojars | CLOJARS | figd | fm[12][ar]? | fo1 | gsk | lin_api | nfp | ntn | nvapi
        | pnu | pplx | pul | p8e | rdme | r8 | sbp | sgp | sntry[su] | sq0[a-z]{3} | tfp | xkeysib
        | (?:duffel|shippo)_(?:live|test) | API | HRKU | NRAK | PMAK )[_-][A-Za-z0-9]{20,}
    | pscale_[a-z]+_[A-Za-z0-9_=.-]{24,} | dp\.[a-z]{2,5}\.[A-Za-z0-9]{24,} | dapi[0-9a-f]{32}
    | dt0[a-z][0-9]{2}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{16,} | EZ[AT]K[A-Za-z0-9]{48,}
    | [A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{16,} | [A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk
    | sha256~[A-Za-z0-9_-]{43} | AGE-SECRET-KEY-1[A-Z0-9]{32,}
    | (?:bot)?[0-9]{6,}:AA[A-Za-z0-9_-]{30,} | T[A-Z0-9]{8,}/B[A-Z0-9]{8,}/[A-Za-z0-9]{20,}
    | -----BEGIN\ [A-Z\ ]{0,40}PRIVATE\ KEY
    )
    """,
    re.VERBOSE,
)
_SCHEMES = re.compile(r"(?:basic|bearer|digest|token)\s+[A-Za-z0-9+/=_.~-]{8,}", re.IGNORECASE)


def is_secret_name(name: str) -> bool:
    """Return whether the name of a parameter, header or build argument is that of a secret."""
    joined = _HARMLESS.sub(" ", _WORD_PARTS.sub("", name).lower())
    return bool(_SECRET.search(joined) or _SECRET_WORD.search(name))


def is_secret_value(value: str) -> bool:
    """Return whether a text contains the shape of a secret, or is a header with credentials."""
    return _SHAPES.search(value) is not None or _SCHEMES.fullmatch(value.strip()) is not None


def without_shapes(text: str) -> str:
    """Return the text with `REDACTED` for all that has the shape of a secret."""
    return _SHAPES.sub(REDACTED, text)
