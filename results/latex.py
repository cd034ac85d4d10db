"""A report as LaTeX in booktabs style: tables to be included in a paper, or compiled as they are."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from results.cells import CellValue, cell_text
from results.published import PublishedTable
from results.render import CELLS, MARKS, OVERVIEW, overview_row, published_source, remarks
from results.report import Report, ReportTable

PREAMBLE = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{textcomp}
\usepackage{booktabs}
\usepackage[a4paper,landscape,margin=15mm]{geometry}
\usepackage{graphicx}
\begin{document}
"""

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "-": "{-}",  # no ligatures: -- would become a dash
    "†": r"\textdagger{}",
    "‡": r"\textdaggerdbl{}",
    "→": r"\textrightarrow{}",
    "\u2013": "--",
    "±": r"\textpm{}",
    "Δ": r"\ensuremath{\Delta}",
    "≥": r"\ensuremath{\geq}",
    "≤": r"\ensuremath{\leq}",
    "\u00d7": r"\texttimes{}",
    "\u00f7": r"\textdiv{}",
    "[": "{[}",  # after \\ a bracket would be an optional argument
    "]": "{]}",
}


def latex(report: Report) -> str:
    """A document that compiles; every table stands alone and can be taken out of it (it needs only booktabs)."""
    rows = [tuple(map(escape, overview_row(run))) for run in report.runs]
    notes = remarks(report.runs, report.left_out)
    parts = [_table("Runs", tuple(map(escape, OVERVIEW)), rows, notes, first="l")] if rows else []
    parts += [_measured(table) for table in report.tables]
    parts.append("\\noindent " + escape(CELLS) + "\n\n\\noindent " + escape(MARKS.replace("\\*", "*")) + "\n")
    parts += [_published(table) for table in report.published]
    return PREAMBLE + "\n" + "\n".join(parts) + "\n\\end{document}\n"


def escape(text: str) -> str:
    """The text as LaTeX prints it. Letters that the document's font lacks lose their accents or become ``?``."""
    return "".join(map(_escaped, text))


def _escaped(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if " " <= char <= "~" or "\u00c0" <= char <= "\u00ff":
        return char
    plain = unicodedata.normalize("NFKD", char).encode("ascii", "ignore").decode()
    return "".join(_ESCAPES.get(c, c) for c in plain if c.isprintable()) or ("?" if char.isprintable() else " ")


def _measured(table: ReportTable) -> str:
    rows = [(escape(name), *map(_cell, cells)) for name, cells in table.rows]
    return _table(f"{table.title} (measured)", ("", *map(escape, table.columns)), rows, table.notes)


def _published(table: PublishedTable) -> str:
    rows = [tuple(rf"\textit{{{escape(text)}}}" for text in (name, *cells)) for name, cells in table.rows]
    caption = f"{table.title} (published, {table.status})"
    return _table(caption, ("", *map(escape, table.columns)), rows, (published_source(table),))


def _cell(cell: CellValue) -> str:
    text = escape(cell_text(cell))
    return rf"\textbf{{{text}}}" if cell.best else text


def _table(
    caption: str, header: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str], first: str = "l"
) -> str:
    lines = [
        r"\begin{table}[ht]",
        r"\centering",
        rf"\caption{{{escape(caption)}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{first}{'r' * (len(header) - 1)}}}",
        r"\toprule",
        " & ".join(header) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}}",
        *(rf"\par\smallskip\footnotesize {escape(note)}" for note in notes),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"
