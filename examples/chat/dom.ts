/// <reference lib="dom" />
/**
 * Small tools for the page's script. This runs in the browser: `page.ts` sends the function as a string, so it can use nothing
 * from outside itself.
 *
 * @module
 */

/** Tools for the document. */
export interface Dom {
  /** Whether the pointer is a finger. Then Enter starts a new line, and the keyboard opens only on request. */
  readonly touch: boolean;
  /** Returns an element that is known to exist. */
  find<E extends HTMLElement = HTMLElement>(selector: string): E;
  /** Creates an element. Strings among its children become text, never markup. */
  make<K extends keyof HTMLElementTagNameMap>(
    tag: K,
    properties: Partial<HTMLElementTagNameMap[K]>,
    ...children: (Node | string)[]
  ): HTMLElementTagNameMap[K];
  /** Creates a circle with the first letter of a name. */
  avatar(name: string): HTMLElement;
  /** Gives an element the colour of a name. */
  paint(target: HTMLElement, name: string): void;
  /** Moves the focus to the main control when the focused element disappears. */
  focusHome(): void;
}

/** Creates the tools. */
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
      target.style.setProperty("--hue", String(hash * 137.5 % 360)); // similar names get clearly different colours
    },
    focusHome() {
      dom.find(dom.touch ? "#scroll" : "#text").focus();
    },
  };
  return dom;
}
