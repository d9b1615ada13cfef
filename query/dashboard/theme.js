// Before the page is painted: the theme that was chosen here, else the system's.
try {
  const chosen = localStorage.getItem("mien.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // Storage is refused: the system's theme stays.
}
