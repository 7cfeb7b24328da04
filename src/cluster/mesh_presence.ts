/**
 * Presence over the processes of a server: each tells the others what its connections show. A process that is joined is told
 * everything, and one that has ended shows nothing any more, at once.
 *
 * @module
 */

import type { Presence, PresenceBus } from "../topics/presence.ts";
import type { PresenceNet } from "../topics/topics.ts";
import { utf8Decoder, utf8Encoder } from "../values.ts";
import type { Link, Member } from "./link.ts";
import type { Mesh } from "./mesh.ts";
import { PRESENCE } from "./wire.ts";

/** Connects the presence of this process to that of the others. */
export class MeshPresence implements PresenceNet {
  readonly id: string;

  readonly #mesh: Mesh;
  #presence: Presence | undefined = undefined;

  /**
   * @param mesh The links to the other processes, none of which has been made yet.
   * @param open Makes the presence of this process, if it has topics: another process shows something.
   */
  constructor(mesh: Mesh, open: () => void) {
    this.#mesh = mesh;
    this.id = idOf(mesh.self);
    mesh.watch({ onJoined: (link) => this.#onJoined(link), onLeft: (link) => this.#onLeft(link) });
    mesh.handle(PRESENCE, ({ peer }, bytes, start, end) => {
      if (this.#presence === undefined) open();
      this.#presence?.onMessage(idOf(peer!), utf8Decoder.decode(bytes.subarray(start, end)));
    });
  }

  startPresence(make: (bus: PresenceBus, lease: number) => Presence): Presence {
    const say = (text: string) => {
      const bytes = utf8Encoder.encode(text);
      for (const link of this.#mesh.links) link.tell(PRESENCE, bytes);
    };
    return this.#presence = make({ isUp: true, say }, 0);
  }

  #onJoined(link: Link): void {
    for (const text of this.#presence?.describe() ?? []) link.tell(PRESENCE, utf8Encoder.encode(text));
  }

  #onLeft({ peer }: Link): void {
    const other = this.#mesh.linkOf(peer!.slot); // there may be another one to the same process
    if (other?.peer?.pid !== peer!.pid) this.#presence?.lose(idOf(peer!));
  }
}

function idOf({ slot, pid }: Member): string {
  return `${slot}.${pid}`;
}
