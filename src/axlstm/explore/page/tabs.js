// Makes lists of tabs work by mouse and by arrow keys, each with its panel.

/**
 * @param {HTMLElement} row With role=tablist; its tabs name their panels by aria-controls.
 * @param {(tab: HTMLElement) => void} [opened]
 */
export function startTabs(row, opened = () => {}) {
  const tabs = [...row.querySelectorAll("[role=tab]")];
  const open = (tab, focus) => {
    for (const other of tabs) {
      other.setAttribute("aria-selected", other === tab);
      other.tabIndex = other === tab ? 0 : -1;
      const panel = document.getElementById(other.getAttribute("aria-controls"));
      if (panel && row.dataset.panels !== "shared") panel.hidden = other !== tab;
    }
    if (focus) tab.focus();
    opened(tab);
  };
  for (const tab of tabs) tab.addEventListener("click", () => open(tab, false));
  row.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    const seen = tabs.filter((tab) => tab.offsetParent);
    open(seen[(seen.indexOf(document.activeElement) + by + seen.length) % seen.length], true);
  });
}
