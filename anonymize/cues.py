"""Patterns that betray a person, number, date or place by what stands around them, whoever is meant."""

from __future__ import annotations

import re
from collections.abc import Iterator

from anonymize.policy import TextPolicy
from anonymize.vocabulary import is_common_word, is_core, is_name, is_well_known_name, is_word

Span = tuple[int, int]

_MONTH = (
    r"(?:jan(?:uary|uar|v\.?|vier)?|feb(?:ruary|ruar)?|f[ée]v(?:rier)?|m(?:ar(?:ch|s)?|är(?:z)?)"
    r"|apr(?:il)?|avr(?:il)?|may|mai|june?"
    r"|juni|juin|july?|juli|juillet|aug(?:ust)?|ao[uû]t|sept?(?:ember|embre)?|o[ck]t(?:ober|obre)?"
    r"|nov(?:ember|embre)?|de[cz](?:ember)?|d[ée]c(?:embre)?|enero|febrero|marzo|abril|mayo|junio|julio"
    r"|agosto|sep?tiembre|octubre|noviembre|diciembre)"
)
_FULL_MONTH = (
    r"(?:January|February|March|April|June|July|August|September|October|November|December|Januar|Februar"
    r"|März|Juni|Juli|Oktober|Dezember)"
)
_YEAR = r"(?:(?:19|20)\d{2}|['’]\d{2})"
_WHEN = (
    r"(?:on|dated?|since|until|till|from|in|by|before|after|during|last|next|this|early|late|mid|am|vom"
    r"|seit|bis|im|of|at|for|le|du|en|seen)"
)
_UNIT = r"(?:mm|cm|ms|ml|mg|hu|hz|kv|ma|images?|slices?|frames?|°|%)"

_DATES = (
    r"\b(?:19|20)\d{2}-?\d{2}-?\d{2}[T_ ]?\d{1,2}:?\d{2}(?::?\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?\b",
    r"(?<![\d.])(?:19|20)\d{2}(?P<m>[./ _-]?)(?:0?[1-9]|1[0-2])(?P=m)(?:0[1-9]|[12]\d|3[01]"
    r"|[1-9])(?![\d.]*\d)",
    r"(?<![\d.])\d{1,2}([./_-])\d{1,2}\1(?:\d{4}|\d{2})(?![\d]|\.\d)",
    rf"\b\d{{1,2}}(?:st|nd|rd|th)?\.?(?:[ -]*(?:of|de))?[ ./-]?{_MONTH}\b\.?(?:[ ,./-]*(?:de )?{_YEAR}"
    rf"|[./-]\d{{2}}\b)?",
    rf"\b{_MONTH}\.?[ .-]?\d{{1,2}}(?:st|nd|rd|th)?\b(?!\s?{_UNIT})(?:[ ,]+{_YEAR}|[-/]\d{{2,4}}\b)?",
    rf"\b{_MONTH}[ .,/-]*(?:of )?{_YEAR}\b",
    rf"\b{_WHEN}\s+(?P<gone>(?-i:{_FULL_MONTH}|[Mm]ay|[Mm]ai|(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov"
    rf"|Dec)\b))\b",
    rf"\b(?-i:{_FULL_MONTH})\b(?<!March)|(?<=[a-z] )(?-i:March)\b(?! fracture| h)",
    rf"\b{_WHEN}\s+(?P<gone>\d{{1,2}}[./]\d{{1,2}}\.?)(?!\d|[./]\d|\s?{_UNIT})",
    r"\b(?:19|20)\d{2}[ -]?W\d{2}\b|(?<![\d.])(?:19|20)\d{2}[-/.](?:0[1-9]|1[0-2])(?![\d]|\.\d)",
    r"(?<![\d.])\d{1,2} \d{1,2} (?:19|20)\d{2}\b",
    r"\b\d{1,2}\.\s?[IVX]{1,4}\.\s?(?:19|20)?\d{2}\b",
    r"\b(?:spring|summer|autumn|fall|winter|in|of|since|until|class|early|late)\s+(?P<gone>['’]\d{2}"
    r"|(?:19|20)\d0s)\b",
    r"\bon the (?P<gone>(?:[12]?\d|3[01])(?:st|nd|rd|th))(?=\s*(?:[.,;)]|$|of\b|at\b|for\b|by\b|and\b))",
    r"(?<![\w./-])(?<!grade )(?<!power )(?:(?:0?[1-9]|1[0-2])/(?:1[3-9]|2\d|3[01])|(?:1[3-9]|2\d"
    r"|3[01])/(?:0?[1-9]|1[0-2]))(?![\w/-]|\.\d)"
    r"(?!\s(?:nodes?|slices?|images?|mm|cm|lymph|segments?|levels?|cores?|points?))",
    r"(?:(?:19|20)\d{2}|[〇零一二三四五六七八九]{4}|\d{2}(?=年\d{1,2}月))\s*年(?:度|初|底|末)?(?:\s*(?:\d{1,2}"
    r"|[一二三四五六七八九十]{1,3})\s*月(?:份|初|底|末|[上中下]旬)?)?"
    r"(?:\s*(?:\d{1,2}|[一二三四五六七八九十]{1,3})\s*[日号])?",
    r"(?<![\d个])(?:1[0-2]|0?[1-9])\s*月(?!余|龄|后|前|内)(?:\s*\d{1,2}\s*[日号]|份|初|底|末|[上中下]旬)?",
    r"(?<!个)(?:十[一二]?|[一二三四五六七八九])月(?!余|龄|后|前|内)(?:[一二三四五六七八九十]{1,3}[日号]|份|初|底|末|[上中下]旬)?",
)
_TIMES = (
    r"(?<![\d.:])(?:[01]?\d|2[0-4])[:h][0-5]\d(?::[0-5]\d)?(?:\s*(?:[ap]\.?m\.?\b|hrs\b|hours\b"
    r"|uhr\b))?(?:\.\d+)?(?![\d:]|\s*(?:dilution|ratio))",
    r"(?<![\d.])(?:[01]?\d|2[0-4])(?:[.][0-5]\d)?\s*(?:[ap]\.?m\b\.?|hrs\b|uhr\b)",
    r"(?:(?<=at )|(?<=um ))(?:[01]\d|2[0-3])[0-5]\d\b(?! ?(?:mm|ms|hu))",
    r"(?<!\d)\d{1,2}\s*[时点](?:\s*\d{1,2}\s*分?|半|整|许)?(?!钟?方向|钟?位|钟?处)",
)
_SPELLED = r"(?<!\w)(?:[^\W\d_][\s._*-]+){3,}[^\W\d_](?!\w)"  # a word taken apart: V a n  D y k e
_NUMBERS = (
    _SPELLED,
    r"[^\s,;()<>\[\]，；]+@[^\s,;()<>\[\]，；]+",
    r"\b(?:https?|ftp)://\S+|\bwww\.\S*",
    r"\b[\w-]{1,63}(?:\.[\w-]{1,63}){0,6}\.(?:com|org|net|edu|gov|info|example|de|fr|uk|cn|io)\b(?:/\S*)?",
    r"\b[\w-]{1,99}\.(?:pdf|docx?|xlsx?|txt|rtf|jpe?g|png|dcm|zip|mp4)\b",
    r"\b(?:\d+\.){3,}\d+\b",
    r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b",
    r"(?<!\d)1[3-9]\d[ -]?\d{4}[ -]?\d{4}(?!\d)",
    r"(?<!\d)\d{17}[\dxX](?!\d)|(?<!\d)[1-9]\d{5}(?:19|20)\d{2}\d{2}\d{2}(?:\d{3}[\dXx])?(?!\d)",
    r"\+\d[\d ()/.-]{6,}\d",
    r"(?<![\w.])\(?0\d{1,5}\)?[ /.-]\d{3,}(?:[ -]?\d+)*(?!\s?(?:mm|cm))",
    r"\b(?:[0-9a-f]{0,4}:){3,}[0-9a-f:]+\b",
    r"(?<![\w.])\d{3}-\d{4}\b",
    r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][A-Z][·\s-]?[A-Z0-9]{5,6}(?![A-Z0-9])",
    r"\b[A-ZÄÖÜ]{1,3}-[A-Z]{1,2} ?\d{1,4}\b",
    r"\b(?-i:[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2})\b",
    r"\b(?-i:[A-Z]{2}) \d{5}(?:-\d{4})?\b",
)
_LABEL = (
    r"(?:mrn|pid|pat(?:ient)?[ .-]?(?:id|nr|no)|id|uid|acc(?:ession)?|ssn|nhs|case|ref(?:erence)?|chart"
    r"|claim|policy|insur(?:er|ance)|order|lot"
    r"|batch|serial|sn|s/n|passport|licen[cs]e|plate|ic|hc|account|invoice|member|medicare|medicaid|bleep"
    r"|pager|beeper|ext(?:ension)?|fax|tel(?:ephone)?|phone"
    r"|mobile|cell|call|room|bed|bay|ward|zimmer|station|versicherung|fall|akte|udi|qq|wechat|wx|login"
    r"|user(?:name)?|password|barcode|courier|consent|exam"
    r"|study id|hospital)"
)
_LABELLED = (
    rf"\b{_LABEL}(?:\s*(?:no|nr|num(?:ber)?|id"
    rf"|code)\b)?\.?\s*[:#=]?\s*(?P<gone>(?=[\w/.+()-]*\d)[\w+(][\w/.+()-]*(?:[ -]\d[\w/-]*)*)(?!\s?(?:mm"
    rf"|cm|ms|ml|hu)\b)",
    r"\b(?:mrn|pid|pat(?:ient)?[ .-]?(?:id|no|nr|name)?|id|name|acc(?:ession)?|dob|born|geb(?:oren)?|ssn"
    r"|nhs|case)\s*(?:no|nr|number)?\.?"
    r"\s*[:#=]\s*[^\s\u4e00-\u9fff]+(?:[ ,^]+(?-i:[A-Z])[^\s\u4e00-\u9fff]+)*",
    r"\bnumber\s+(?P<gone>(?=\S*\d)(?=\S*[A-Z-])\S+)",
    r"(?:[\u4e00-\u9fff]{0,3}号(?:码)?|电话|手机|联系方式|分机|传真|微信|邮编|邮箱|车牌|身份证|护照|编码|条码|转)[:：]?\s*"
    r"(?P<gone>(?=[\w@.·+/ -]*\d)(?!\d{1,2}(?![A-Za-z0-9-]))[A-Za-z0-9@+_][A-Za-z0-9@._·+/-]*"
    r"(?:[ -]\d[\d-]*)*)",
    r"(?:住院号|门诊号|病历号|病案号|影像号|检查号|登记号|床号|病床|房号|身份证号?|证件号|社保号|医保号)[:：]?\s*(?P<gone>[A-Za-z0-9-]+)",
    r"(?:姓名|患者姓名|联系人|报告者|审核者)\s*[:：]\s*(?P<gone>[\u4e00-\u9fff·]+|[A-Za-z·]+(?: [A-Za-z]+)?)",
)
_NAMES = (
    r"\b(?:born|d\.?o\.?b\.?|geb(?:oren)?)\b[.:]?\s*(?:(?:on|am|the)\s+)*(?=\d)",
    r"(?<!\w)\w*\^\w*(?:\^\w*)*",  # names in caret form
)
_AGES = (
    r"(?<![\d.])(?P<gone>9\d|1[0-2]\d)(?=\s*-?\s*(?:years?\b|yrs?\b|y[./ ]?o\b|y\b|j(?:ahre)?\b|jährig"
    r"|ans\b|周?岁))",
    r"\b(?:age[ds]?|alter|年龄)\s*[:=]?\s*(?:of\s*)?(?P<gone>9\d|1[0-2]\d)\b(?!\s?(?:mm|%))",
    r"\b(?:[MFW][ ,/]{1,2}(?P<gone>9\d|1[0-2]\d)\b(?!\s?(?:mm|ml|%|\.|x))|(?P<gone2>9\d|10\d)\s?[MFmf]\b)",
    r"\b(?P<gone>ninety(?:[ -](?:one|two|three|four|five|six|seven|eight|nine))?)\b(?! (?:degrees?|per"
    r"|percent))",
    r"\b(?P<gone>(?:a |one )?hundred(?: and \w+)?)(?=[ -]years?)",
    r"\b(?:man|woman|lady|gentleman|male|female|patient|nonagenarian|widow(?:er)?)\s+(?:of"
    r"|aged)\s+(?P<gone>9\d|1[01]\d)\b(?!\s?(?:mm|kg|cm))",
)
_WORD = r"[^\W\d_]+(?:['’-][^\W\d_]+)*"
_STREET = (
    r"(?:Street|St|Road|Rd|Lane|Ln|Avenue|Ave|Boulevard|Blvd|Close|Crescent|Terrace|Quay|Square|Gardens"
    r"|Drive|Court|Way|Row|Hill)"
)
_CARE = (
    r"(?:Hospitals?|Clinics?|Infirmary|Medical\s+(?:Cent(?:er|re)|Group)|Cent(?:er|re)|Institute"
    r"|University|Surgery|Nursing\s+Home|Hospice|Practice|Radiology|Imaging"
    r"|Primary|School|College|Ward|ward|Orthopedics|Orthopaedics|Klinik(?:um|en)?|Krankenhaus|Spital"
    r"|H[ôo]pital|Praxis|Health)"
)
_PLACES = (
    rf"\b\d{{1,5}}[a-z]?,?\s+(?-i:(?:[A-Z]{_WORD}\s+){{1,3}}{_STREET}\b)\.?(?:,?\s+(?-i:[A-Z]){_WORD})?",
    r"\b(?-i:[A-ZÄÖÜ])\w+(?:stra(?:ß|ss)e|str\.|weg|allee|gasse|platz|v[äa]gen|gatan)\s*\d+\w?",
    r"\b\d{5}\s+(?-i:[A-ZÄÖÜ])\w+(?:-\w+)*(?=$|[,.;)])",
    r"\bP\.?\s?O\.?\s+Box\s+\d+",
)
_INSTITUTION = re.compile(
    rf"\b(?P<gone>(?:(?:St|Saint|Mt)\.?\s+)?(?:[A-ZÄÖÜ][\w'’-]*\s+(?:(?:of|the|and|de"
    rf"|der)\s+)?){{1,4}}){_CARE}\b"
)
_ANY_CARE = re.compile(rf"\b{_CARE}\b", re.IGNORECASE)
_ANY_STREET = re.compile(
    r"\b\d{1,5}[a-z]?,?\s+(?P<gone>(?:[^\W\d_]+\s+){1,2})(?:street|st|road|rd|lane|avenue|ave|close"
    r"|crescent|quay|square|drive)\b",
    re.IGNORECASE,
)
_TITLE = re.compile(
    r"\b(?:(?i:dr|prof|professor|doctor|doktor|mrs|frau|herr|nurse)|Mr|MR\.|Ms|Mx|Miss|Sir|Lady|Dame|Mme"
    r"|Mlle|Monsieur|Madame|Señora?|Sra?\.|Sister|Pt|OA|Lt\.|Rev|Father)\b[.:]?(?=\s|[A-Z])",
)
_INDEX_ORDER = re.compile(r"^\s*([A-Z][\w'’-]+), ([A-Z][\w'’-]+)\b(?: [A-Z]\b\.?)?", re.MULTILINE)
_ANY_TITLE = re.compile(r"\b(?:mr|mrs|ms|miss|dr|prof|sir|nurse|by|copy to)\b\.?", re.IGNORECASE)
_CLAUSE_ENDS = re.compile(r"\s*(?:[.,;:)]|$|(?:and|for|on|at|before|after|who|in|from|to)\b)", re.IGNORECASE)
_NEXT_WORD = re.compile(r"\s+([^\W\d_]+)")
_PHYSICIAN = re.compile(r"(?:dr|prof|professor|doctor|doktor|oa)\b", re.IGNORECASE)
_AFTER_TITLE = re.compile(r"[ .,&/]*(?:(?:dr|prof|med|dent|h\.?c)\b\.?\s*)*", re.IGNORECASE)
_NAME_WORD = re.compile(
    r"[ .]*(?:(?:von|van|der|den|de|del|da|di|la|le|bin|binti|al|el|ter|y|zu|und"
    r"|and)\s+)*([^\W\d_]+(?:['’-][^\W\d_]+)*)\.?"
)
_KIN = (
    r"(?:wife|husband|spouse|partner|son|daughter|mother|mom|mum|father|dad|brother|sister|niece|nephew"
    r"|aunt|uncle|cousin|friend|neighbou?r|grand\w+"
    r"|interpreter|secretary|colleague|named|called|calls? (?:her|him)self|known as|name is|nee|née|alias"
    r"|aka)"
)
_BY = (
    r"(?:(?:reported|read|signed|dictated|transcribed|verified|approved|ordered|requested|referred"
    r"|performed|checked|reviewed|scanned|seen|examined|written|done"
    r"|operated|injected|supervised|entered|typed|presented|booked|accompanied|brought|discussed|spoken?"
    r"|spoke|phoned|faxed|sent|copied|told|informed|reviewed)"
    r"(?:\s+(?:by|with|to|from|for|off))?|attn|attention|cc|c/o|contact|technologist|technician|tech"
    r"|radiologist|physician|surgeon|operator|reader|referrer"
    r"|radiographer|consultant|requester|reporter|interpreter|thanks|thank you|regards|sincerely|dear"
    r"|hello|hi|best wishes|phone|page|ask)"
)
_POINTER = re.compile(
    rf"\b(?i:{_BY}|{_KIN}|\w{{2,}}(?:ed|en|wn|ne|nt) by)\b\s*[:,]?\s+(?:(?i:by|from|is|was)\s+)?(?=[A-Za-z])"
)


def _compiled(patterns: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern, re.IGNORECASE) for pattern in patterns)


_ALWAYS = _compiled(_NUMBERS + _LABELLED + _NAMES + _AGES + _PLACES)
_DATE, _TIME = _compiled(_DATES), _compiled(_TIMES)
_DIGIT_GROUPS = re.compile(r"(?<![\w.])\(?\d{1,5}\)?(?:[ ./-]\(?\d{2,5}\)?){1,4}(?![\w]|\.\d)")
_MEASURED = re.compile(r"\s?(?:mm|cm|ms|ml|hu|mg|x|×|%)\b|\s?%", re.IGNORECASE)
_ONE_YEAR = re.compile(r"(?<!\d)(?:19|20)\d{2}(?!\d{1,3}(?!\d))")


def cue_spans(text: str, policy: TextPolicy) -> Iterator[Span]:
    """Yield where a text says something identifying that its surroundings betray, in any order."""
    dates = [_gone(match) for pattern in _DATE for match in pattern.finditer(text)]
    years = [span for date in dates for span in _year(text, date)] if policy.keeps_years else []
    numbers = [
        *_grouped_numbers(text),
        *(_gone(match) for pattern in _ALWAYS for match in pattern.finditer(text)),
    ]
    if not policy.keeps_times_of_day:
        dates += [_gone(match) for pattern in _TIME for match in pattern.finditer(text)]
    for span in (*dates, *(span for span in numbers if not years or not _touches(span, dates))):
        yield from _around(span, years)
    if not policy.keeps_institutions:
        yield from _places(text)
    yield from _in_index_order(text)
    if has_one_case(text):
        yield from _titled_in_one_case(text)
    clinicians = set(clinician_spans(text)) if policy.keeps_clinicians else set()
    yield from (span for span in titled(text) if span not in clinicians)
    if not policy.keeps_clinicians:
        yield from _pointed(text)


def has_one_case(text: str) -> bool:
    """Return whether a text is all capitals or all small letters, so that case tells nothing."""
    return text.isupper() or text.islower()


def _places(text: str) -> Iterator[Span]:
    """Yield the names before Hospital, Ward, School, and streets where case tells nothing."""
    if not has_one_case(text):
        found = _INSTITUTION.finditer(text)
        yield from (_gone(match) for match in found if _is_no_plain_place(match["gone"]))
        return
    yield from (match.span() for match in _ANY_STREET.finditer(text) if _is_no_plain_place(match["gone"]))
    for care in _ANY_CARE.finditer(text):
        words = list(re.finditer(r"[^\W\d_]+", text[: care.start()]))[-3:]
        for word in reversed(words):
            if is_core(word[0].casefold()) or (
                not text[word.end() : word.end() + 2].isspace() and not text[word.end()].isspace()
            ):
                break
            yield word.span()


def clinician_spans(text: str) -> Iterator[Span]:
    """Yield the titles of physicians with the names behind them."""
    yield from (span for span in titled(text) if _PHYSICIAN.match(text, span[0]))


def _grouped_numbers(text: str) -> Iterator[Span]:
    """Yield seven digits or more in groups, one of three: telephones, accounts; no ranges with a unit."""
    for match in _DIGIT_GROUPS.finditer(text):
        groups = re.findall(r"\d+", match[0])
        if sum(map(len, groups)) < 7 or max(map(len, groups)) < 3 or _MEASURED.match(text, match.end()):
            continue
        if (
            len(groups) > 2
            or groups[0][0] == "0"
            or "-" not in match[0]
            or len(groups[0]) + len(groups[1]) > 8
        ) or len(groups[0]) < 4:
            yield match.span()


def _gone(match: re.Match[str]) -> Span:
    groups = match.groupdict()
    name = next((name for name in ("gone", "gone2") if groups.get(name)), None)
    return match.span(name) if name else match.span()


def _year(text: str, span: Span) -> Iterator[Span]:
    year = _ONE_YEAR.search(text, *span)
    if year:
        yield year.span()


def _touches(span: Span, others: list[Span]) -> bool:
    return any(span[0] < end and start < span[1] for start, end in others)


def _around(span: Span, kept: list[Span]) -> Iterator[Span]:
    """Yield a span without the parts of it that are kept."""
    start, end = span
    for kept_start, kept_end in sorted(kept):
        if start < kept_end and kept_start < end:
            yield start, kept_start
            start = kept_end
    yield start, end


def _is_no_plain_place(words: str) -> bool:
    """Return whether words before Hospital or Ward hold more than radiology: CT Imaging is no place."""
    return any(not is_core(word.casefold().rstrip("'’s")) for word in re.findall(r"[^\W\d_]{2,}", words))


def titled(text: str) -> Iterator[Span]:
    """Yield titles with the names behind them: Dr. med. Ute von Bergen, MRS SMITH."""
    for title in _TITLE.finditer(text):
        start = _AFTER_TITLE.match(text, title.end()).end()  # type: ignore[union-attr]
        end = _end_of_names(text, start, must_be_upper=title[0][0].isupper() and not title[0].isupper())
        if end > start:
            yield title.start(), end


def _titled_in_one_case(text: str) -> Iterator[Span]:
    """Yield titles, or by, with the names behind them where case tells nothing: mr hare, DR TEMPLE SWEET."""
    for title in _ANY_TITLE.finditer(text):
        end, is_title = title.end(), title[0].lower() not in ("by", "copy to")
        for word in _NEXT_WORD.finditer(text, title.end(), title.end() + 40):
            low = word[1].casefold()
            is_plain = is_core(low) or (is_word(low) and not is_name(low))
            is_thing = is_common_word(low) and not is_title and not _CLAUSE_ENDS.match(text, word.end())
            if word.start() != end or is_plain or is_thing:
                break
            end = word.end()
        if end > title.end():
            yield (title.start() if is_title else title.end()), end


def _in_index_order(text: str) -> Iterator[Span]:
    """Yield a surname, comma and given name that begin a line: Glover, Celesta."""
    for match in _INDEX_ORDER.finditer(text):
        lows = [match[1].casefold(), match[2].casefold()]
        is_shaped = all(is_name(low) or not is_word(low) for low in lows)
        if is_shaped and not all(map(is_core, lows)):
            yield match.span()


def _end_of_names(text: str, start: int, *, must_be_upper: bool) -> int:
    """Return where a run of names that begins at `start` ends."""
    end = start
    for count in range(5):
        found = _NAME_WORD.match(text, end)
        if not found or (count and text[end : end + 1] in "\n"):
            break
        word, before = found[1], text[end : found.start(1)]
        if count and "." in before and len(text[:end].rstrip().split()[-1]) > 3:
            break
        if not _continues(word, count, must_be_upper=must_be_upper):
            break
        end = found.end() if len(word) == 1 else found.end(1)
    return end


def _continues(word: str, count: int, *, must_be_upper: bool) -> bool:
    low = word.casefold()
    if len(word) == 1:
        return word.isupper()
    if not word[0].isupper():
        return count == 0 and not must_be_upper and (is_name(low) or not is_word(low))
    if word.isupper():
        return not is_core(low) or (count == 0 and is_name(low))
    return count == 0 or not is_core(low) or is_name(low)


def _pointed(text: str) -> Iterator[Span]:
    """Yield names behind words such as reported by, wife, contact."""
    is_small = text.islower()
    for pointer in _POINTER.finditer(text):
        found = _NAME_WORD.match(text, pointer.end())
        if not found:
            continue
        low = found[1].casefold()
        is_shown = (found[1][0].isupper() or is_small) and is_name(low)
        is_certain = not is_core(low) or (is_well_known_name(low) and not found[1].isupper())
        if (is_shown and is_certain) or (len(found[1]) == 1 and (found[1].isupper() or is_small)):
            yield (
                found.span(1)[0],
                max(found.end(1), _end_of_names(text, pointer.end(), must_be_upper=not is_small)),
            )
