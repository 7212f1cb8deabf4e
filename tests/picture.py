"""Draws screens of a terminal as one SVG: picture.py OUT.svg COLUMNS dark|light SECONDS=FILE...

Each file is a screen as `tmux capture-pane -e -p` writes it, and stands from that second on; the last one stays a while,
and is the picture where nothing moves. No fonts, no scripts, no addresses. Called by picture.sh.
"""

import sys
from xml.sax.saxutils import escape

from rich.terminal_theme import TerminalTheme
from rich.text import Text
from rich.console import Console

CELL, LINE, EDGE = 8.4, 18, 16
STAYS = 6.0
THEMES = {
    # background, text, the eight colours, their bright ones
    "dark": TerminalTheme(
        (22, 27, 34), (201, 209, 217),
        [(72, 79, 88), (255, 123, 114), (86, 211, 100), (227, 179, 65), (121, 192, 255), (210, 168, 255), (86, 212, 221), (177, 186, 196)],
        [(110, 118, 129), (255, 161, 152), (126, 231, 135), (242, 204, 96), (165, 214, 255), (226, 197, 255), (179, 240, 255), (255, 255, 255)],
    ),
    "light": TerminalTheme(
        (255, 255, 255), (31, 35, 40),
        [(36, 41, 47), (207, 34, 46), (17, 99, 41), (154, 103, 0), (9, 105, 218), (130, 80, 223), (27, 124, 131), (110, 119, 129)],
        [(87, 96, 106), (164, 14, 38), (26, 127, 55), (99, 60, 1), (33, 139, 255), (164, 117, 249), (49, 146, 170), (140, 149, 159)],
    ),
}


def style_of(style, theme):
    """What CSS says of a style of rich's."""
    colour = style.color.get_truecolor(theme) if style.color and not style.color.is_default else theme.foreground_color
    if style.dim:
        colour = [(a + b) // 2 for a, b in zip(colour, theme.background_color)]
    return "fill:#%02x%02x%02x" % tuple(colour) + (";font-weight:bold" if style.bold else "")


def line_of(text, theme, classes):
    """A line of the screen as SVG, each piece of one style at its place."""
    pieces, column = [], 0
    for segment in Console(width=1000, color_system="truecolor").render(text):
        if segment.text == "\n":
            continue
        width, shown = segment.cell_length, segment.text.strip(" ")
        if shown:
            at = EDGE + CELL * (column + len(segment.text) - len(segment.text.lstrip(" ")))
            css = style_of(segment.style, theme) if segment.style else style_of(Console().get_style("none"), theme)
            name = classes.setdefault(css, f"s{len(classes)}")
            length = CELL * Text(shown).cell_len
            pieces.append(f'<text x="{at:.1f}" class="{name}" textLength="{length:.1f}">{escape(shown)}</text>')
        column += width
    return "".join(pieces)


def main(out, columns, theme_name, frames):
    theme, classes, lines, screens = THEMES[theme_name], {}, {}, []
    for frame in frames:
        begin, _, path = frame.partition("=")
        with open(path, encoding="utf-8") as file:
            # As one text: what a line begins with is what the one before it ended with.
            screen = Text.from_ansi(file.read().rstrip("\n"))
        rows = [line_of(row, theme, classes) for row in screen.split("\n", allow_blank=True)]
        uses = []
        for number, row in enumerate(rows):
            if row:
                name = lines.setdefault(row, f"l{len(lines)}")
                uses.append(f'<use href="#{name}" y="{LINE * number}"/>')
        screens.append((float(begin), len(rows), uses))
    whole = screens[-1][0] + STAYS
    rows = max(count for _, count, _ in screens)
    width, height = EDGE * 2 + CELL * int(columns), EDGE * 2 + LINE * rows
    css = [f".{name}{{{rule}}}" for rule, name in classes.items()]
    css.append("text{white-space:pre}")
    body = []
    for number, (begin, _, uses) in enumerate(screens):
        is_last = number == len(screens) - 1
        if len(screens) > 1:
            begin = 0 if number == 0 else 100 * begin / whole
            end = 100 if is_last else 100 * screens[number + 1][0] / whole
            css.append(
                f"@keyframes k{number}{{0%{{visibility:hidden}}{begin:.2f}%{{visibility:visible}}"
                + (f"{end:.2f}%{{visibility:hidden}}" if not is_last else "") + "}"
            )
            css.append(f"#f{number}{{visibility:{'visible' if is_last else 'hidden'}}}")
            css.append(f"@media(prefers-reduced-motion:no-preference){{#f{number}{{animation:k{number} {whole:.1f}s step-end infinite}}}}")
        body.append(f'<g id="f{number}">{"".join(uses)}</g>')
    definitions = "".join(f'<g id="{name}">{row}</g>' for row, name in lines.items())
    background = "#%02x%02x%02x" % tuple(theme.background_color)
    with open(out, "w", encoding="utf-8") as file:
        file.write(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" height="{height}" '
            f'font-family="monospace" font-size="14" role="img" aria-label="rebuild switch --eval-on builder, on a terminal">\n'
            f"<style>{''.join(css)}</style>\n"
            f'<rect x=".5" y=".5" width="{width - 1:.0f}" height="{height - 1}" rx="8" fill="{background}" stroke="#8b949e" stroke-opacity=".5"/>\n'
            f"<defs>{definitions}</defs>\n"
            f'<g transform="translate(0 {EDGE + 13})">{"".join(body)}</g>\n</svg>\n'
        )


main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])
