/**
 * The versions of one model, and which of them answers. A request may name a version by its number or by a label of its
 * manifest. One that names none is for the version with the label `stable`, else for the highest that can answer: a version
 * that fails leaves the requests to the one before it.
 */
import { byNumber, type VersionPlace } from './model-folders.js';
import { ModelSlot, type ModelEntry, type SlotParts } from './model-slot.js';

const STABLE = 'stable';

export class ModelVersions {
  readonly name: string;
  /** Where its versions lie, or the model itself. */
  readonly path: string;
  readonly #parts: SlotParts;
  /** By the names of their folders. */
  readonly #slots = new Map<string | undefined, ModelSlot>();

  constructor(name: string, path: string, parts: SlotParts) {
    this.name = name;
    this.path = path;
    this.#parts = parts;
  }

  /** Rising. */
  get slots(): readonly ModelSlot[] {
    return [...this.#slots.values()].sort((a, b) => byNumber(a.version ?? '', b.version ?? ''));
  }

  /** The version that stands for all: the one that answers, else the highest. */
  get main(): ModelSlot {
    return this.answering() ?? this.slots.at(-1)!;
  }

  /** The version of that number or label. */
  find(version: string): ModelSlot | undefined {
    return (
      this.slots.find((slot) => slot.version === version) ??
      this.slots.find(({ versionLabels }) => versionLabels.includes(version))
    );
  }

  /** Which version answers requests that name none; undefined if none can. */
  answering(): ModelSlot | undefined {
    const available = this.slots.filter(({ isAvailable }) => isAvailable);
    const stable = available.find(({ versionLabels }) => versionLabels.includes(STABLE));
    const highest = stable ?? available.at(-1);
    if (highest === undefined || highest.loaded !== undefined || highest.isProven) return highest;
    // It may turn out to be broken: as long as there is another, nobody waits for that.
    return available.findLast(({ loaded }) => loaded !== undefined) ?? highest;
  }

  /**
   * Have a slot for each of these places, and read what is known of each. Resolves to the slots of places that are gone, which
   * are no longer in the list.
   */
  async place(places: readonly VersionPlace[]): Promise<ModelSlot[]> {
    for (const place of places) {
      if (!this.#slots.has(place.version)) {
        const slot = new ModelSlot(this.name, place, this.#parts);
        await slot.look();
        this.#slots.set(place.version, slot);
      }
    }
    const there = new Set(places.map(({ version }) => version));
    const gone = [...this.#slots.values()].filter(({ place }) => !there.has(place.version));
    for (const { place } of gone) this.#slots.delete(place.version);
    await Promise.all(this.slots.map((slot) => slot.look()));
    this.#findConflicts();
    return gone;
  }

  entries(): ModelEntry[] {
    return this.slots.map(({ entry }) => entry);
  }

  /** Two versions of one number, or with one label: the later one is at fault. */
  #findConflicts(): void {
    const labelled = new Map<string, string>();
    const numbered = new Set<string>();
    for (const slot of this.slots) {
      const { version, versionLabels } = slot.outline;
      const label = versionLabels.find((each) => labelled.has(each));
      let conflict: string | undefined;
      if (version !== undefined && numbered.has(version)) conflict = `there are two versions ${version}`;
      else if (label !== undefined) {
        conflict = `versionLabels: version ${labelled.get(label)} and version ${version} both have the label "${label}"`;
      }
      slot.conflict(conflict);
      if (conflict !== undefined || version === undefined) continue;
      numbered.add(version);
      for (const each of versionLabels) labelled.set(each, version);
    }
  }
}
