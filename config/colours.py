"""The colours of the staff's pages, as unfold wants them: those of tokens.css in the shades that it knows."""

COLOURS = {
    "base": {
        "50": "#f4f7f6", "100": "#e9eeec", "200": "#d6dedb", "300": "#c2cdc9", "400": "#a8b7b3", "500": "#5f6d69",
        "600": "#4b5a57", "700": "#3a4745", "800": "#2e3a38", "900": "#0f1615", "950": "#0a0f0e",
    },
    "primary": {
        "50": "#e7f1f4", "100": "#d3e6ec", "200": "#b0deeb", "300": "#86c9dc", "400": "#3f8ea8", "500": "#1b6a84",
        "600": "#0b5269", "700": "#07475b", "800": "#073a4c", "900": "#072f3d", "950": "#07222c",
    }
}  # fmt: skip
