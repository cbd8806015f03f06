"""Convert, check, edit and compare recordings and videos."""
