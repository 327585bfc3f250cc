"""A page on which one drops an image and sees what networks make of it."""

from contextrast.demo.page import Shown, build, launch
from contextrast.demo.views import Found

__all__ = ["Found", "Shown", "build", "launch"]
