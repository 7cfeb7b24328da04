/// <reference lib="dom" />
/**
 * Small tools for the page's script. This runs in the browser: `page.ts` sends the function as a string, so it can use nothing
 * from outside itself.
 *
 * @module
 */

/** Tools for the document. */
export interface Dom {
  /** Whether the fingers do the pointing: then Enter makes a new line, and nothing brings up the keyboard unasked. */
  readonly touch: boolean;
  /** The element that is known to be there. */
  find<E extends HTMLElement = HTMLElement>(selector: string): E;
  /** Makes an element. Strings among its children become text, never markup. */
  make<K extends keyof HTMLElementTagNameMap>(
    tag: K,
    properties: Partial<HTMLElementTagNameMap[K]>,
    ...children: (Node | string)[]
  ): HTMLElementTagNameMap[K];
  /** The first letter of a name in a circle. */
  avatar(name: string): HTMLElement;
  /** Gives an element the colour of a name. */
  paint(target: HTMLElement, name: string): void;
  /** Moves the focus to where one goes on, when the element that has it disappears. */
  focusHome(): void;
}

/** Makes the tools. */
export function createDom(): Dom {
  const dom: Dom = {
    touch: matchMedia("(pointer: coarse)").matches,
    find(selector) {
      return document.querySelector(selector)!;
    },
    make(tag, properties, ...children) {
      const made = Object.assign(document.createElement(tag), properties);
      made.append(...children);
      return made;
    },
    avatar(name) {
      const [first] = new Intl.Segmenter().segment(name); // an emoji is one letter, however many code points it has
      const face = dom.make("span", { className: "avatar", ariaHidden: "true" }, first.segment.toUpperCase());
      dom.paint(face, name);
      return face;
    },
    paint(target, name) {
      let hash = 0;
      for (const character of name) hash = (hash * 31 + character.codePointAt(0)!) % 1009;
      target.style.setProperty("--hue", String(hash * 137.5 % 360)); // names that differ a little differ much in colour
    },
    focusHome() {
      dom.find(dom.touch ? "#scroll" : "#text").focus();
    },
  };
  return dom;
}
