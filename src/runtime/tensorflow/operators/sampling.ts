/**
 * GridSample: a map at places that another input says, between its cells. TensorFlow has no kernel for it, so the four
 * cells around each place are gathered and weighed by how near they are; what lies outside of the map is 0.
 */
import { attribute } from '../../../graph/attributes.js';
import { refuseUnless, type Kernel, type Loading } from '../operator.js';
import { inGraphOrder, withChannelsLast, type Tensor, type TensorFlow } from '../tensors.js';

/** x [N, C, H, W], grid [N, h, w, 2] of (x, y) in [−1, 1] → [N, C, h, w]. */
export function gridSample({ tf, node }: Loading): Kernel {
  // `linear` since opset 20.
  const mode = attribute(node, 'mode', 'string') ?? 'bilinear';
  refuseUnless(node, mode === 'bilinear' || mode === 'linear', `the mode ${mode}`);
  const padding = attribute(node, 'padding_mode', 'string') ?? 'zeros';
  refuseUnless(node, padding === 'zeros', `the padding ${padding}`);
  const alignCorners = attribute(node, 'align_corners', 'int') === 1;
  return (run) => {
    refuseUnless(node, run.inputDims(0).length === 4, 'a volume');
    const x = withChannelsLast(tf, run.input(0));
    const [batch, height, width, channels] = x.shape;
    const [, rows, columns] = run.inputDims(1) as [number, number, number];
    const places = tf.reshape(inGraphOrder(tf, run.input(1)), [batch, rows * columns, 2]);
    const [across, down] = [width, height].map((size, axis) => {
      const along = tf.slice(places, [0, 0, axis], [batch, rows * columns, 1]);
      return neighbours(tf, along, size, alignCorners);
    }) as [Neighbour[], Neighbour[]];
    const starts = tf.tensor3d(
      Int32Array.from({ length: batch }, (_, image) => image * height * width),
      [batch, 1, 1],
      'int32',
    );
    const cells: Tensor = tf.reshape(x, [batch * height * width, channels]);
    const parts = down.flatMap((row) =>
      across.map((column) => {
        const inMap = tf.add(tf.mul(row.cell, tf.scalar(width, 'int32')), column.cell);
        const indices = tf.reshape(tf.add(inMap, starts), [batch * rows * columns]);
        const weights = tf.reshape(tf.mul(row.weight, column.weight), [batch * rows * columns, 1]);
        return tf.mul(tf.gather(cells, indices), weights);
      }),
    );
    return { tensor: tf.reshape(tf.addN(parts), [batch, rows, columns, channels]), channelsLast: true };
  };
}

interface Neighbour {
  /** Index along the axis, int32; of any cell where there is none. */
  readonly cell: Tensor;
  /** 0 where there is none. */
  readonly weight: Tensor;
}

/** The cells before and behind each place along an axis of `size` cells. */
function neighbours(tf: TensorFlow, along: Tensor, size: number, alignCorners: boolean): Neighbour[] {
  const position = alignCorners
    ? tf.mul(tf.add(along, 1), (size - 1) / 2)
    : tf.sub(tf.mul(tf.add(along, 1), size / 2), 0.5);
  const before = tf.floor(position);
  const share = tf.sub(position, before);
  return [
    { index: before, weight: tf.sub(1, share) },
    { index: tf.add(before, 1), weight: share },
  ].map(({ index, weight }) => {
    // False for what is not a number, too.
    const isInside = tf.logicalAnd(tf.greaterEqual(index, 0), tf.less(index, size));
    const none = tf.zerosLike(index);
    return { cell: tf.cast(tf.where(isInside, index, none), 'int32'), weight: tf.where(isInside, weight, none) };
  });
}
