"""What the file of an answer is called: after the upload's own name, without anything that could mislead."""

from urllib.parse import quote

from app.imaging.encode import OUT_FORMATS

_STANDARD = "picture"
_MOST_CHARACTERS = 100
_DONE = {"derain": "derained", "dehaze": "dehazed"}
_REMOVED = {"derain": "rain", "dehaze": "haze"}
# Characters that file systems of one kind or another take for something else.
_RESERVED = str.maketrans(dict.fromkeys('<>:"|?*', "_"))


def answer_name(uploaded: str, task: str, output: str, format: str) -> str:
    """Return the name of an answer: holiday.jpg becomes holiday-derained.png, or holiday-rain.png for what was removed.

    uploaded: the name the client gave, which may be empty, a path or anything else.
    """
    # Browsers write a quotation mark in a form's file name as %22.
    name = uploaded.replace("%22", '"').replace("\\", "/").rpartition("/")[2].translate(_RESERVED)
    name = "".join(character for character in name if character.isprintable()).strip(" .")
    stem = name.rpartition(".")[0] or name
    done = (_DONE if output == "restored" else _REMOVED)[task]
    return f"{stem[:_MOST_CHARACTERS].strip(' .') or _STANDARD}-{done}{OUT_FORMATS[format].suffixes[0]}"


def disposition(name: str) -> str:
    """Write Content-Disposition: inline with the name in ASCII, and whole for those who read UTF-8 (RFC 6266)."""
    plain = "".join(character if character.isascii() and character != "%" else "_" for character in name)
    exact = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'inline; filename="{plain}"{exact}'
