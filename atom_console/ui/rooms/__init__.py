"""The rooms of the screen: each a pure `rows` function and a widget that shows what it returns."""
