import { describe, expect, it } from 'vitest';
import { buildArchitecture, nativeForm, type ArchitectureName } from '../../../../../src/architectures/index.js';
import { UsageError } from '../../../../../src/errors.js';
import { graphBuilder } from '../../../../../src/graph/build.js';
import type { Graph } from '../../../../../src/graph/graph.js';
import { drawNet } from '../../../../../src/models/look/block-diagram/draw.js';

const draw = (graph: Graph, part?: string): string => drawNet(graph, 32, { title: 'a net', part });

const count = (svg: string, pattern: RegExp): number => svg.match(pattern)?.length ?? 0;
const boxes = (svg: string): number => count(svg, /class="box /g);
const sizeOf = (svg: string): number[] =>
  [...svg.matchAll(/ (?:width|height)="(\d+)"/g)].slice(0, 2).map(([, n]) => Number(n));

/** Relu and Sigmoid in turn, by what `isRelu` says of the position; a shortcut around each keeps boxes apart. */
function longNet(length: number, isRelu: (position: number) => boolean): Graph {
  const builder = graphBuilder({ name: 'long' });
  let x = builder.input('x', 'float32', ['N', 3, 8, 8]);
  for (let position = 0; position < length / 2; position += 1) {
    x = builder.node('Add', [x, builder.node(isRelu(position) ? 'Relu' : 'Sigmoid', [x])]);
  }
  return builder.finish([{ name: x, dataType: 'float32', dims: [] }]);
}

describe('drawNet', () => {
  it('draws a net as SVG with real text, and its repeats once', () => {
    const svg = draw(buildArchitecture('resnet20_cifar'));
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" width="\d+" height="\d+" viewBox=/);
    expect(svg).toContain('>conv 3×3, 16 · BN · ReLU</text>');
    expect(svg).toContain('>64 × 8 × 8</text>');
    expect([...svg.matchAll(/class="times"[^>]*>([^<]*)</g)].map(([, text]) => text)).toEqual(['× 3', '× 2', '× 2']);
    expect(svg).toContain('@media (prefers-color-scheme: dark)');
    expect(svg.replaceAll('http://www.w3.org/2000/svg', '')).not.toMatch(/https?:|href|url\(|<script/);
  });

  it('draws a line as a line', () => {
    const svg = draw(buildArchitecture('vgg16', { inputSize: 32, poolings: 5 }));
    // Wires go straight down, but those from one column to the next.
    expect(count(svg, /class="wire"/g)).toBeGreaterThan(10);
    expect(count(svg, /class="wire" d="[^"]*C/g)).toBe(0);
  });

  it('has a page for ResNet-50 that is no longer than a sheet of paper', () => {
    const [width, height] = sizeOf(drawNet(buildArchitecture('resnet50'), 224, { title: 'resnet50' }));
    expect(height! / width!).toBeLessThan(1.42);
    expect(width).toBeLessThan(1800);
  });

  it('draws a block in full, by its name or by its first and last layer', () => {
    const net = buildArchitecture('resnet20_cifar');
    const block = draw(net, 'layer1.1');
    expect(block).toContain('>a net: layer1.1</text>');
    expect(boxes(block)).toBe(5);
    const two = draw(net, 'layer1.1.conv1..layer1.2.relu');
    expect([boxes(two), count(two, /class="times"/g)]).toEqual([9, 0]);
    for (const part of ['layer', 'layer1.2.relu..layer1.1.conv1', 'layer1.1.conv1..', '..']) {
      expect(() => draw(net, part), part).toThrow(UsageError);
    }
  });

  it.each([
    'densenet100_k12_bc_cifar',
    'fractalnet80_thin_cifar100',
    'inception_resnet_v2',
    'multi_resnet_basic8_k23_cifar',
    'nin_cifar',
    'polynet',
    'pre_ror3_164_cifar',
    'recurrent_resnet_cifar',
    'spatial_transformer',
  ] satisfies ArchitectureName[])('draws %s', (name) => {
    const svg = drawNet(buildArchitecture(name), nativeForm(name).inputSize, { title: name });
    expect(svg).not.toMatch(/NaN|undefined|Infinity/);
    expect(svg.length).toBeLessThan(100_000);
    expect(boxes(svg)).toBeLessThan(200);
  });

  it("escapes strangers' names, takes control characters out and cuts what is long", () => {
    const builder = graphBuilder({ name: 'net' });
    const x = builder.input('</text><script>alert("1")</script>&\u0000\u202e\ud800', 'float32', ['N', 3]);
    const y = builder.node('x'.repeat(10_000), [x], { name: `<b>'${'n'.repeat(10_000)}` });
    const svg = draw(builder.finish([{ name: y, dataType: 'float32', dims: [] }]));
    expect(svg).toContain(
      '>&lt;/text&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;\ufffd\ufffd\ufffd</text>',
    );
    expect(svg).toContain('<title>&lt;b&gt;&#39;nnn');
    expect(svg).not.toMatch(/<script|<b>|x{100}|n{100}/);
    expect(svg).not.toMatch(/\p{Cs}/u);
    expect(sizeOf(svg)[0]).toBeLessThan(1000);
  });

  it('folds ten thousand nodes that repeat', () => {
    expect(boxes(draw(longNet(10_000, () => true)))).toBe(3);
    expect(boxes(draw(longNet(10_000, (position) => position % 2 === 0)))).toBe(5);
  });

  it('refuses what is too large for a picture', () => {
    let state = 1;
    const isRelu = (): boolean => (state = (state * 48271) % 2147483647) % 2 === 0;
    expect(() => draw(longNet(10_000, isRelu))).toThrow(
      /would have \d{4} boxes, and at most 600 can be read; --part draws a part/,
    );
  });

  it('refuses ten thousand layers in one branch', () => {
    const builder = graphBuilder({ name: 'branch' });
    const x = builder.input('x', 'float32', ['N', 3, 8, 8]);
    const weight = builder.parameter('weight', [3, 3, 1, 1]);
    let y = x;
    for (let layer = 0; layer < 10_000; layer += 1) y = builder.node('Conv', [y, weight]);
    const sum = builder.node('Add', [x, y]);
    const graph = builder.finish([{ name: sum, dataType: 'float32', dims: [] }]);
    expect(() => draw(graph)).toThrow(UsageError);
  });

  it('refuses more lines than can be told apart', () => {
    const builder = graphBuilder({ name: 'dense' });
    const values = [builder.input('x', 'float32', ['N', 3, 8, 8])];
    for (let layer = 1; layer < 60; layer += 1) values.push(builder.node('Concat', values, { attributes: {} }));
    const graph = builder.finish([{ name: values.at(-1)!, dataType: 'float32', dims: [] }]);
    expect(() => draw(graph)).toThrow(/more lines than can be told apart/);
  });
});
