/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/**
 * Looks for what keeps people from using a page. The functions run in the browser, so they can use nothing from outside
 * themselves; they return what is wrong, one line each.
 *
 * @module
 */

/** Names, headings, landmarks, live regions, sizes. */
export function findFaults(): string[] {
  const faults: string[] = [];
  const visible = (element: Element) => element.checkVisibility({ visibilityProperty: true });
  const describe = (element: Element) => element.outerHTML.replace(/>[^]*/, ">");

  /** The text of an element as it is read out: without what is hidden from that. */
  function textOf(node: Node): string {
    if (node instanceof Text) return node.data;
    if (!(node instanceof Element) || node.ariaHidden === "true" || !visible(node)) return "";
    return node.ariaLabel ?? [...node.childNodes].map(textOf).join("");
  }

  function nameOf(element: Element): string {
    const ids = element.getAttribute("aria-labelledby");
    if (ids !== null) return ids.split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join(" ").trim();
    if (element.ariaLabel !== null) return element.ariaLabel.trim();
    const labels = (element as HTMLInputElement).labels;
    if (labels?.length) return [...labels].map((label) => label.textContent).join(" ").trim();
    return textOf(element).trim();
  }

  for (const element of document.querySelectorAll("button, a[href], input, textarea, select, [tabindex], dialog[open]")) {
    if (!visible(element)) continue;
    if (nameOf(element) === "") faults.push(`no name: ${describe(element)}`);
    if (element.matches("dialog, p a")) continue;
    const { width, height } = element.getBoundingClientRect();
    // WCAG 2.2, 2.5.8: links within text are exempt.
    if ((width < 24 || height < 24) && !element.matches(".text a")) faults.push(`small: ${describe(element)}`);
  }
  for (
    const [selector, least, most] of [["h1", 1, 1], ["main", 1, 1], ["header", 1, 1], ["[role=log]", 1, 1], [
      "[role=status]",
      1,
      9,
    ]] as const
  ) {
    const count = [...document.querySelectorAll(selector)].filter(visible).length;
    if (count < least || count > most) faults.push(`${count} × ${selector}`);
  }
  for (const region of document.querySelectorAll("[role=log], [role=region], main form, aside")) {
    if (visible(region) && nameOf(region) === "") faults.push(`no name: ${describe(region)}`);
  }
  if (document.querySelector("[role=log]")?.getAttribute("aria-live") !== "polite") faults.push("the log is not polite");
  for (const element of document.querySelectorAll("[aria-labelledby], [aria-describedby], label[for], [popovertarget]")) {
    for (const name of ["aria-labelledby", "aria-describedby", "for", "popovertarget"]) {
      for (const id of element.getAttribute(name)?.split(" ") ?? []) {
        if (document.getElementById(id) === null) faults.push(`${name} leads nowhere: ${describe(element)}`);
      }
    }
  }
  const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
  for (const id of ids.filter((id, at) => ids.indexOf(id) !== at)) faults.push(`two elements have the id ${id}`);
  for (const item of document.querySelectorAll("li")) {
    if (!item.parentElement!.matches("ul, ol, menu")) faults.push(`no list around ${describe(item)}`);
  }
  for (const image of document.querySelectorAll("svg")) {
    if (image.ariaHidden !== "true") faults.push(`neither named nor hidden: ${describe(image)}`);
  }
  if (document.documentElement.lang === "") faults.push("the page has no language");
  if (document.title === "") faults.push("the page has no title");
  if (/user-scalable *= *no|maximum-scale/.test(document.querySelector<HTMLMetaElement>("meta[name=viewport]")!.content)) {
    faults.push("the page cannot be enlarged");
  }
  return faults;
}

/** Text that stands out too little against what is behind it (WCAG 2.2, 1.4.3): 4.5 to 1, or 3 to 1 for large text. */
export function findPaleText(): string[] {
  const faults: string[] = [];
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true })!;

  /** Any colour that CSS knows as red, green, blue and alpha. */
  function channels(color: string): number[] {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  }

  function luminance(color: string): number {
    const [red, green, blue] = channels(color).map((value) => value / 255).map((value) =>
      value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
    );
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  }

  /** The colours behind an element: one, or those of a gradient. */
  function backgrounds(element: Element): string[] {
    for (let at: Element | null = element; at !== null; at = at.parentElement) {
      const { backgroundImage, backgroundColor } = getComputedStyle(at);
      const stops = backgroundImage.match(/(rgba?|oklch|color)\([^)]*\)/g);
      if (stops !== null) return stops;
      if (channels(backgroundColor)[3] === 255) return [backgroundColor];
    }
    return ["white"];
  }

  function check(element: Element, text: string): void {
    const style = getComputedStyle(element);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    for (const background of backgrounds(element)) {
      const [dark, light] = [luminance(style.color), luminance(background)].sort((a, b) => a - b);
      const ratio = (light + 0.05) / (dark + 0.05);
      if (ratio < (large ? 3 : 4.5)) faults.push(`${ratio.toFixed(2)} to 1: “${text}” in ${style.color} on ${background}`);
    }
  }

  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement!;
    const text = walker.currentNode.textContent!.trim();
    if (text === "" || element.matches("script, style, noscript, .hidden, .hidden *") || !element.checkVisibility()) continue;
    check(element, text);
  }
  for (const field of document.querySelectorAll<HTMLTextAreaElement>("textarea, input")) {
    if (field.checkVisibility()) check(field, field.value);
  }

  // Names have colours of their own: one sample stands for all of them.
  for (const sample of document.querySelectorAll<HTMLElement>(".message:last-child :is(.avatar, .author)")) {
    const before = sample.style.getPropertyValue("--hue");
    for (let hue = 0; hue < 360; hue += 5) {
      sample.style.setProperty("--hue", String(hue));
      check(sample, `${sample.textContent} with hue ${hue}`);
    }
    sample.style.setProperty("--hue", before);
  }
  return faults;
}
