"""Who plays on the demo: names of many scripts, both directions and all lengths, as a real board has them."""

from __future__ import annotations

import random
from typing import NamedTuple

NAMES = (
    "Zoë", "Łukasz", "さくら", "Nguyễn Thị Minh Khai", "عمر الخطّاط", "Αθηνά", "Øystein", "김민준", "Дарья ❄️", "שירה",
    "अनन्या शर्मा", "Chloé 🎮", "王小明", "Þórunn Ösp", "สมชาย ใจดี", "თამარი", "Kwabena Ọlá", "José María", "فاطمة",
    "Ивайло", "ᐃᓄᒃᓯᑦ", "李雷 🐉", "Ñusta", "தமிழ்செல்வி", "Mehmet Işık", "Գայանե", "Aaliyah", "たけし・ドラゴン", "نگار",
    "Siobhán", "Çağla", "ሰላማዊት", "Mānoa Keahi", "ঋতুপর্ণা", "Ömür", "박서연 ✨", "Đorđe", "Fionnghuala", "مریم نیلوفری",
    "Kai 🏄🏽‍♂️", "Ελευθερία", "Jürgen der Unaufhaltsame", "বিজয়", "Noor نور", "🦊", "လှလှ", "Xóchitl", "אורי 7",
    "Ada", "🇧🇷 Thiago", "Hubert Wolfeschlegelsteinhausenbergerdorff the Very Persistent",
    "ក្រសួង", "Wawrzyniec Brzęczyszczykiewicz", "Тамерлан", "ਹਰਪ੍ਰੀਤ", "Σίσυφος", "Ngũgĩ", "林 さん", "سلمان", "Æ 12",
)  # fmt: skip
"""Names of simulated players; what lies beyond the last begins again with a number."""

_MANNERS = (
    "Brave", "Bright", "Calm", "Cheerful", "Clever", "Curious", "Daring", "Eager", "Gentle", "Jolly", "Keen", "Lively",
    "Lucky", "Merry", "Mighty", "Nimble", "Patient", "Quick", "Quiet", "Sunny", "Swift", "Witty",
)  # fmt: skip
_ANIMALS = (
    "Badger", "Beaver", "Cricket", "Dolphin", "Falcon", "Ferret", "Gecko", "Heron", "Ibex", "Jackdaw", "Koala", "Lynx",
    "Marten", "Narwhal", "Otter", "Panda", "Puffin", "Quokka", "Raven", "Salmon", "Tapir", "Walrus", "Yak", "Zebra",
)  # fmt: skip


class Person(NamedTuple):
    """A user id and a display name."""

    user_id: str
    name: str


CURL = Person("curl", "Captain Curl")
"""Whom the curl lines that the demo prints score for."""


def simulated(number: int) -> Person:
    """The simulated player of a number from 0; always the same one, so that a demo goes on where it stopped."""
    again, place = divmod(number, len(NAMES))
    name = NAMES[place]
    if again:
        mark = f" {again + 1}"
        name = name[: 64 - len(mark)] + mark
    return Person(f"demo-{number + 1:03d}", name)


def visitor(user_id: str) -> Person:
    """A friendly name for somebody new; the id decides, so that it tells nothing else."""
    dice = random.Random(user_id)  # noqa: S311  # a name is no secret
    return Person(user_id, f"{dice.choice(_MANNERS)} {dice.choice(_ANIMALS)}")
