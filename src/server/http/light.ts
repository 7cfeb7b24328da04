/**
 * Classes whose objects pass for those of the platform, and make one only when they have to.
 *
 * @module
 */

/** A constructor of objects of the platform. */
// deno-lint-ignore no-explicit-any
export type PlatformClass = (new (...args: any[]) => object) & { readonly prototype: object };

/** Returns a class with the prototype of another, so that `instanceof` holds, whose constructor does nothing. */
export function hollow(platformClass: PlatformClass): new () => object {
  const Hollow = function () {} as unknown as new () => object;
  Hollow.prototype = platformClass.prototype;
  return Hollow;
}

/**
 * Adds to a class all members of the platform's class that it does not define itself. They work on the platform's object.
 *
 * @param prototype The prototype of the class.
 * @param sample An object of the platform. Where the runtime keeps the state of its objects in properties with symbols, these are
 * added too, so that its own functions accept objects of the class.
 * @param platformOf Returns the platform's object for one of the class, which is made now if there is none yet.
 */
export function forwardTo<It extends object>(prototype: It, sample: object, platformOf: (it: It) => object): void {
  const platform = Object.getPrototypeOf(sample);
  for (const key of Reflect.ownKeys(platform)) {
    const { value, get } = Object.getOwnPropertyDescriptor(platform, key)!;
    if (Object.hasOwn(prototype, key)) continue;
    if (typeof value === "function") {
      const method = function (this: It, ...args: unknown[]) {
        return Reflect.apply(value, platformOf(this), args);
      };
      Object.defineProperty(prototype, key, { value: method, writable: true, configurable: true });
    } else if (get !== undefined) forwardProperty(prototype, key, platformOf);
  }
  for (const key of Object.getOwnPropertySymbols(sample)) forwardProperty(prototype, key, platformOf);
}

function forwardProperty<It extends object>(prototype: It, key: PropertyKey, platformOf: (it: It) => object): void {
  Object.defineProperty(prototype, key, {
    get(this: It) {
      return Reflect.get(platformOf(this), key);
    },
    set(this: It, value: unknown) {
      Reflect.set(platformOf(this), key, value);
    },
    configurable: true,
  });
}
