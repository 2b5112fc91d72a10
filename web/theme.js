// The chosen theme, applied before the first paint; without a choice the system's is taken by the style sheet.
// A plain script, not a module: a module runs after the first paint, and the page would flash.
try {
  const theme = localStorage.getItem("tidings.theme");
  if (theme) document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be forbidden; then the system's theme it is.
}
