"""How much of an answer is program code: fenced blocks, and lines that look like code without a fence."""

from __future__ import annotations

import re

from em_core.health.text import MAX_CHARS

# Each describes a whole line; ordinary English must not match any of them.
_LINES = (
    r"(?:async\s+)?def\s+\w+\s*\(.*",
    r"class\s+\w+\s*(?:\([\w\s.,=]*\))?\s*[:{]",
    r"(?:from\s+[\w.]+\s+)?import\s+(?:\(|\*|[\w.]+(?:\s+as\s+\w+)?(?:\s*,\s*[\w.]+(?:\s+as\s+\w+)?)*);?",
    r"import\s.*\sfrom\s+['\"].*",
    r"(?:try|else|finally|do)\s*[:{]",
    r"(?:if|elif|while|except)\s+[\w.]+\s*:",
    r"(?:if|elif|while|for|with|except)\b(?=.*(?:[()\[\]=<>_]|\bin\b|\bas\b|\bnot\b))[^?!]*:(?:\s*\#.*)?",
    r"(?:if|while|for|foreach|switch|catch)\s*\(.*\)\s*[{;]?",
    r"(?:return|yield|raise|throw)(?:\s+(?:new\s+)?[\w.\[\]]*(?:\(.*\)?|[\[{'\"].*)?(?:\s*[-+*/%<>=&|]+\s*.*)?)?;?",
    r"(?:break|continue|pass);?",
    r"@\w[\w.]*(?:\(.*\))?",
    r"[A-Za-z_$][\w.$]*(?:\[[^\]]*\])*(?:\s*,\s*[A-Za-z_][\w.]*)*(?:\s*:\s*[\w\[\], .|]+)?\s*(?:[-+*/|&%]|:)?=\s*(?![=\s])\S.*",
    r"(?:await\s+|new\s+)?[A-Za-z_$]\w*(?:(?:\.|::|->)\w+)*\((?:.*\)|(?:.*[,(\[{])?)[;,{:]?(?:\s*(?:\#|//).*)?",
    r"(?:const|let|var|val|auto|final)\s+[\w{\[][^.!?]*=.*",
    r"(?:(?:public|private|protected|static|export|default|async|abstract|virtual|inline|const|unsigned|pub)\s+)*"
    r"(?:function|func|fn|struct|enum|interface|namespace|void|int|char|float|double|bool|string|String|class)\b"
    r"[\s*\w<>\[\],:&?]*[\w>*\]]\s*(?:\(.*|\{.*|=.*|;)",
    r"(?:using|package|use)\s+[\w.:]+;",
    r"\#\s*(?:include\s*[<\"]|define\s+\w|ifdef\s|ifndef\s|endif\b|pragma\s).*",
    r"\#!/.*",
    r"(?=.*[()=\[\]<>+_]).*[^\s.!?];",
    r".*[\w)>\]=]\s*\{",
    r"[\])}]+[;,)]*(?:\s*(?:else|catch|finally|while)\b.*)?[;,{]?",
    r"//.*|/\*.*|\*/",
    r"</?[A-Za-z][\w-]*(?:\s[^<>]*)?/?>(?:.*</?[A-Za-z][\w-]*>)?",
    r"(?:SELECT|INSERT\s+INTO|UPDATE|DELETE\s+FROM|CREATE\s+TABLE|DROP\s+TABLE|ALTER\s+TABLE)\s.*",
    r"(?:\$|>>>)\s+\S.*",
    r"sudo\s+[\w./-]+(?:\s.*)?|(?:pip3?|npm|apt-get|chmod|curl|wget|git|rm)\s+(?:-|install|update|clone|\d|/|http).*",
)
_LINE = re.compile(rf"\s*(?:{'|'.join(_LINES)})\s*")
_LONGEST_LINE = 300
_FENCE = re.compile(r"\s{0,3}(```+|~~~+)")


def code_share(text: str) -> float:
    """Share of the visible characters that are inside code fences or on lines that look like code.

    An open fence goes to the end, comment lines in ``#`` count only inside a fence, and a line of more
    than 300 characters is code only inside one. Data (JSON, CSV) outside a fence is not code.
    Formulas such as ``a = b + c`` on a line of their own are taken for code.

    Args:
        text: The first 100,000 characters count.

    Returns:
        0-1; 0 for an empty text.
    """
    inside, code, total = "", 0, 0
    for line in text[:MAX_CHARS].splitlines():
        size = len(line) - line.count(" ") - line.count("\t")
        if not size:
            continue
        total += size
        fence = _FENCE.match(line)
        if inside:
            code += size
            inside = "" if fence and fence[1].startswith(inside) else inside
        elif fence:
            inside = "" if line.count(fence[1]) > 1 else fence[1]
            code += size
        elif len(line) <= _LONGEST_LINE and _LINE.fullmatch(line):
            code += size
    return code / total if total else 0.0
