"""A page on which one drops an image and sees what networks make of it."""

from contextrast.demo.page import Shown, build, launch

__all__ = ["Shown", "build", "launch"]
