#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/data/tokens/lines.jsonl: texts on which token ids are compared with llama.cpp's.

Every line is {"class": ..., "text": ...}. All words and sentence patterns are our own; the texts
are put together by a fixed generator, so that the file can be made again byte by byte.

usage: make_token_list.py tests/data/tokens/lines.jsonl
"""
import json
import random
import sys

SEED = 20260101
LINES = 510  # per class; at least 500 are promised
SCRIPT_LINES = 100  # per script; together they are one class

NOUNS = ("river engine window letter garden number signal bridge winter theory market candle "
         "harbour lesson mirror pocket kernel pigeon ticket valley").split()
VERBS = ("opens counts carries measures forgets follows paints repairs questions divides "
         "delivers compares").split()
ADJECTIVES = ("small quiet broken early green honest narrow seventh unlikely half-finished "
              "well-known old").split()
CONTRACTIONS = ("it's we're they've I'm you'll he'd don't isn't couldn't WE'RE IT'S I'LL You'Ve "
                "o'clock rock'n'roll 'twas dogs' she'sn't x'll y're").split()
NAMES = "Ada Bruno Chiara Dmitri Eun-ji Fatou Goran Hélène".split()

SCRIPTS = {
    "latin": ("Größe übermäßig façade naïve crème brûlée señor mañana København smörgåsbord "
              "żółw źródło příliš žluťoučký kůň ğüneş ışık İstanbul Ægir þorn ǆungla ﬁnd ŉ "
              "Việt Nam tiếng đẹp não coração").split(),
    "greek": "Ελλάδα θάλασσα γράμμα ἀρχή λόγος ᾧτινι σοφία ΑΒΓΔ ώρα μικρός Ωμέγα ς".split(),
    "cyrillic": ("река окно письмо ёлка Москва объём їжак ґанок ћуприја ѣ Ѫ больше сегодня "
                 "ЖЗИЙ машина").split(),
    "arabic": ("كتاب مدرسة الشمس قَلَمٌ لا مَرْحَبًا ١٢٣ ۴۵۶ نهر؟ بيت، طويل ﷺ پنجره چای ـــ").split(),
    "hebrew": "שלום בית סֵפֶר מים לילה גדול ירושלים עברית״ נ״ב ־ ילדים".split(),
    "devanagari": "नमस्ते दुनिया पुस्तक क्षत्रिय ज्ञान हिन्दी १२३ में। सूर्य ॐ बच्चे".split(),
    "thai": "สวัสดี หนังสือ ภาษาไทย น้ำ กรุงเทพ ๑๒๓ ผู้ใหญ่ เด็กๆ ฿500 ครับ".split(),
    "chinese": "你好 世界，我们 学习。图书馆 三百六十五 天气很好！〇 𠀀𠮷 繁體字 「引」 ①② ㊗".split(),
    "japanese": "こんにちは 世界 カタカナ ﾊﾝｶｸ 東京タワー 本を読む。ー 々 ゔ がぎぐ ㍻ １２３ 〜".split(),
    "korean": "안녕하세요 세계 한국어 책을 ㄱㄴㄷ 값 닭 ᄒ ㅎㅎ 서울특별시 1,000원 ～".split(),
    "other": ("გამარჯობა բարեւ ሰላም ជំរាបសួរ ສະບາຍດີ မင်္ဂလာပါ வணக்கம் నమస్కారం ᠮᠣᠩᠭᠣᠯ ᏣᎳᎩ ⵜⵉⴼ "
              "𐍈𐌰 𝔘𝔫𝔦 𞤀𞤁 ༄༅ ಕನ್ನಡ ⅣⅫ ½¾ ²³ ₁₂ Ⅷ ㋿ 𑜀𑜊 \u1c89 \ua7cb \U00031350 \u2ffc "
              "\U0002ebf0 \U0001fae8 \u0378").split(),
}

EMOJI = ("😀 😂 🥲 👍 👍🏽 👩‍💻 👨‍👩‍👧‍👦 🏳️‍🌈 🇩🇪 🇯🇵🇧🇷 ❤️ ❤ ☺️ 1️⃣ #️⃣ 🧑🏿‍🚀 🫠 🫨 🪿 🦄 🎉 ✨ ⭐ ☔ ⚡ ♟️ 🀄 🃏 ™️ ©️ 〰️ "
         "🔥🔥🔥 👁️‍🗨️ 🏴󠁧󠁢󠁥󠁮󠁧󠁿 💯 🕐 🐦‍⬛ 🩷").split()

CODE = (
    "def {a}({b}: int = {n}) -> list[{c}]:\n    return [{a}_{b} for {b} in range({n})]",
    "for (int {a}{n} = 0; {a}{n} < {n}; ++{a}{n}) {{ {b}[{a}{n}] += {c}->{a}; }}",
    "\tif (!{a} && {b} != nullptr) {{\n\t\treturn {c}::{a}<{b}>(0x{n:x});\n\t}}\n",
    "SELECT {a}, COUNT(*) AS {b} FROM {c}s WHERE {a}_id >= {n} GROUP BY 1;",
    "let {a} = await fetch(`/api/${{{b}}}?n={n}`).then(r => r.json()); // {c}",
    "<div class=\"{a}-{b}\" id='{c}{n}'>&nbsp;{{{{ {a} }}}}</div>",
    "{{\"{a}\": [{n}, {n}.5e-3, null, true], \"{b}\": {{\"{c}\": \"\\u00e9\\n\"}}}}",
    "#include <{a}/{b}.h>\n#define {A}_{B}(x) ((x) * {n}u)\n",
    "fn {a}<'a, T: {C}>(&'a self, {b}: &mut Vec<T>) -> Result<(), Box<dyn Error>> {{ todo!() }}",
    "{a}=$(grep -c '^{b}' \"${{{C}:-/tmp/{c}}}\" | awk '{{print $1}}') || exit {n}",
    "    {a}:\n      - {b}: {n}\n        {c}: \"%d%%\"\n\n\n",
    "x{n} := {a}.{b}({c}[:{n}])... // TODO: {a}!={b}\r\n",
    "\\begin{{{a}}} $\\frac{{{n}}}{{\\alpha_{{{b}}}}}$ \\end{{{a}}} % {c}",
    "0b{n:b} 0o{n:o} {n}_000.00 1e{n} {n}px {n}% #{n:06x} v{n}.{n}.0-rc1 $%^&*()_+-=[]{{}}|;':\",./<>?",
)

SPACES = [" ", "  ", "   ", "    ", "\t", "\t\t", " \t", "\t ", "\n", "\n\n", "\n\n\n", "\r\n", "\r",
          "\r\n\r\n", " \n", "\n ", "\u00a0", "\u00a0\u00a0", "\u3000", "\u3000\u3000", "\u2003",
          "\u2009", "\u200a", "\u1680", "\u2028", "\u2029", "\u202f", "\u205f", "\u0085", "\v", "\f",
          " " * 8, " " * 17, " " * 64, "\t" * 9, "\n" * 7, " \r\n \t\n", "\n\t\t\t", "\x1c", "\x1f"]

CONTROLS = ([chr(c) for c in range(0x00, 0x20)] + [chr(c) for c in range(0x7f, 0xa0)]
            + list("\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2066"
                   "\u2067\u2068\u2069\ufeff\ufffe\uffff\ufffd\u00ad\u034f\u061c\u180e\ufe00\ufe0f"
                   "\U000e0001\U000e0020\ue000\U000f0000\U0010ffff\u0300\u0301\u0308\u20dd"))

SPECIALS = ("<|endoftext|> <|im_start|> <|im_end|> <repo_name> <reponame> <file_sep> <filename> "
            "<gh_stars> <issue_start> <issue_comment> <issue_closed> <jupyter_start> "
            "<jupyter_text> <jupyter_code> <jupyter_output> <jupyter_script> <empty_output>").split()
LOOKALIKES = ("<|im_start |> <|im_start| <|im_end <| |> <|> <||> <|IM_START|> <im_start> <repo_nam "
              "repo_name> <|endoftext|>> <<|endoftext|> <|endof<|endoftext|>text|> <s> </s> <pad> "
              "[INST] [/INST] <|im_<|im_end|>end|> <|eot_id|> <|begin_of_text|> <unk> "
              "<|im_start|im_end|> <file_sep><file_sep <think> </think> <tool_call>").split()


class Lines:
    def __init__(self):
        self.random = random.Random(SEED)
        self.rows = []

    def pick(self, items):
        return items[self.random.randrange(len(items))]

    def add(self, name, make, count=LINES):
        """`count` different texts."""
        seen = set()
        while len(seen) < count:
            text = make(len(seen))
            if text and text not in seen:
                seen.add(text)
                self.rows.append({"class": name, "text": text})

    def number(self):
        digits = 10 ** (1 + self.random.randrange(9))
        return self.random.randrange(digits)

    def sentence(self):
        r = self.random
        noun, other = self.pick(NOUNS), self.pick(NOUNS)
        forms = (
            f"The {self.pick(ADJECTIVES)} {noun} {self.pick(VERBS)} a {other}.",
            f"{self.pick(NAMES)} said: \"{self.pick(CONTRACTIONS)} {self.pick(ADJECTIVES)}, "
            f"{self.pick(CONTRACTIONS)} not?\"",
            f"In {r.randrange(1000, 2100)}, {self.number():,} {noun}s ({r.randrange(100)}.{r.randrange(10)}%) "
            f"{self.pick(CONTRACTIONS)} sold for ${self.number()}.{r.randrange(100):02d}!",
            f"{noun.upper()} {other.title()}; {self.pick(ADJECTIVES)}--{self.pick(VERBS)}... "
            f"{self.pick(CONTRACTIONS)}",
            f"Why {self.pick(VERBS)} the {noun}'s {other}?  See p. {r.randrange(400)}, "
            f"sec. {r.randrange(9)}.{r.randrange(9)}; www.{noun}-{other}.example/{self.number()}",
            f"un{noun}able anti{other}ism {noun}{other}{noun} {self.pick(ADJECTIVES)}ness",
        )
        return self.pick(forms)

    def english(self, index):
        text = " ".join(self.sentence() for _ in range(1 + self.random.randrange(3)))
        return " " + text if index % 7 == 0 else text

    def code(self, _):
        a, b, c = (self.pick(NOUNS) for _ in range(3))
        return self.pick(CODE).format(a=a, b=b, c=c, A=a.upper(), B=b.upper(), C=c.title(),
                                      n=self.random.randrange(100000))

    def emoji(self, _):
        parts = []
        for _ in range(1 + self.random.randrange(5)):
            parts.append(self.pick(EMOJI))
            if self.random.randrange(3) == 0:
                parts.append(self.pick(NOUNS + [" ", "!", "2024", " :) ", "\n", "é", "。"]))
        return self.pick(["", " ", "  "]).join(parts)

    def script(self, name):
        def make(_):
            words = [self.pick(SCRIPTS[name]) for _ in range(1 + self.random.randrange(6))]
            text = self.pick([" ", " ", "", ", ", "-", "\u3000"]).join(words)
            tail = self.pick(["", "", ".", "!", "?", f" {self.number()}", f"{self.number()}",
                              "'s", " (x)", "\n", "«»", " " + self.pick(NOUNS)])
            return self.pick(["", "", " ", "\"", "("]) + text + tail
        return make

    def white_space(self, _):
        parts = []
        for _ in range(1 + self.random.randrange(5)):
            parts += [self.pick(SPACES) for _ in range(1 + self.random.randrange(3))]
            parts.append(self.pick(NOUNS + ["", "", "7", "42", "!", "'s", "é", "中", "...", "$"]))
        parts.append(self.pick(SPACES + ["", ""]))
        return "".join(parts)

    def control(self, index):
        if index < len(CONTROLS):
            return "a" + CONTROLS[index] + " b"
        parts = []
        for _ in range(1 + self.random.randrange(5)):
            parts += [self.pick(CONTROLS) for _ in range(1 + self.random.randrange(3))]
            parts.append(self.pick(NOUNS + ["", " ", "\n", "1", "é", "א", "."]))
        return "".join(parts)

    def special(self, index):
        if index < len(SPECIALS):
            return SPECIALS[index]
        parts = []
        for _ in range(1 + self.random.randrange(5)):
            parts.append(self.pick(SPECIALS if self.random.randrange(2) else LOOKALIKES))
            parts.append(self.pick(["", "", " ", "\n", "user\n", "  ", self.pick(NOUNS), "1", "é",
                                    " assistant", "'s", "\r\n"]))
        text = "".join(parts)
        if self.random.randrange(4) == 0:
            text = self.sentence() + text
        return text


def main() -> int:
    lines = Lines()
    lines.add("english", lines.english)
    lines.add("code", lines.code)
    lines.add("emoji", lines.emoji)
    for name in SCRIPTS:
        lines.add("script " + name, lines.script(name), SCRIPT_LINES)
    lines.add("white space", lines.white_space)
    lines.add("control", lines.control)
    lines.add("special", lines.special)
    with open(sys.argv[1], "w", encoding="ascii", newline="\n") as out:
        for row in lines.rows:
            out.write(json.dumps(row, ensure_ascii=True, separators=(",", ":")) + "\n")
    print(f"{len(lines.rows)} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
