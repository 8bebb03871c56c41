"""The console's own addresses, and that no address from outside leads away from it."""

HOME = "/console"
SIGN_IN = "/console/sign-in"


def own_path(target: str) -> str:
    """The target where it is a page of the console, else the first page: no way out of here."""
    inside = target == HOME or target.startswith((f"{HOME}/", f"{HOME}?"))
    clean = target.isprintable() and "\\" not in target and "//" not in target
    return target if inside and clean else HOME
