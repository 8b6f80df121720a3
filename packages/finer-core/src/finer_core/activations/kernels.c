/* Real activations, each in one pass over memory: value, slope, or gradient.

   PyTorch computes sin(omega_0 (|z| + 1) z) and its slope in six passes, and the sine and the cosine of a phase each by
   itself; here both come from one reduction to an eighth of a turn. Plain loops that any C compiler turns into vector
   instructions. native.py builds them, for one FUNCTION of those below, and says what `parameters` hold. float32; sine
   and cosine are wrong by less than one unit in the last place of 1 (6e-8), the exponential by less than two.
*/

#include <math.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define LANES 512 /* numbers that are read before their results are written, which may go to the same place */
#ifdef _WIN32
#define EXPORT __declspec(dllexport)
#else
#define EXPORT
#endif

typedef struct {
  float omega_0, held, omega_w, scale, floor, gain;
} parameters;

typedef struct {
  float value, slope;
} both;

/* A phase beyond this is left to the C library, number by number. */
#define FAR 1e6f

/* sin x and cos x: x = k pi/2 + r with |r| <= pi/4, then polynomials in r. */
INLINE void sine_and_cosine(float x, float *sine, float *cosine, int *is_far, int by_library) {
  if (by_library) {
    *sine = sinf(x);
    *cosine = cosf(x);
    return;
  }
  *is_far |= !(fabsf(x) <= FAR);
#ifdef __FP_FAST_FMAF /* pi/2 in two floats: fused, the product with k loses nothing */
  float k = rintf(x * 0.63661977f);
  float r = fmaf(k, 4.3711388e-8f, fmaf(k, -1.5707964f, x));
#else
  double turns = rint(x * 0.6366197723675814);
  float r = (float)(x - turns * 1.5707963267948966), k = (float)turns;
#endif
  int32_t quarter = (int32_t)k;
  float s = r * r;
  float odd = r + r * s * (-1.6666654611e-1f + s * (8.3321608736e-3f + s * -1.9515295891e-4f));
  float half = 0.5f * s, rest = 1 - half;
  float even = rest + ((1 - rest - half) + s * s * (4.166664568e-2f + s * (-1.388731625e-3f + s * 2.443315712e-5f)));
  float in_sine = quarter & 1 ? even : odd, in_cosine = quarter & 1 ? odd : even;
  *sine = quarter & 2 ? -in_sine : in_sine;
  *cosine = (quarter + 1) & 2 ? -in_cosine : in_cosine;
}

/* exp(x) of x <= 0: x = k ln 2 + r with |r| <= ln 2 / 2. Below -87 the smallest normal numbers; not a number stays so. */
INLINE float exponential(float x) {
  x = x < -87.0f ? -87.0f : x;
  float k = rintf(x * 1.44269504f);
  float r = (x - k * 0.693359375f) + k * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1;
  int32_t bits = ((int32_t)k + 127) << 23;
  float power;
  memcpy(&power, &bits, sizeof power);
  return p * power;
}

/* sin(omega_0 z) */
INLINE both sine(float z, parameters p, int *is_far, int by_library) {
  float s, c;
  sine_and_cosine(p.omega_0 * z, &s, &c, is_far, by_library);
  return (both){s, p.omega_0 * c};
}

/* sin(omega_0 (|z| + 1) z); its factor's derivative counts if `held` is 2, and not if it is 1 */
INLINE both finer(float z, parameters p, int *is_far, int by_library) {
  float s, c, size = fabsf(z);
  sine_and_cosine(p.omega_0 * (size + 1) * z, &s, &c, is_far, by_library);
  return (both){s, p.omega_0 * (p.held * size + 1) * c};
}

/* exp(-(scale z)^2) */
INLINE both gauss(float z, parameters p, int *is_far, int by_library) {
  float t = p.scale * z, bell = exponential(-t * t);
  return (both){bell, -2 * p.scale * t * bell};
}

/* cos(omega_w z) exp(-(scale z)^2) */
INLINE both real_wire(float z, parameters p, int *is_far, int by_library) {
  float s, c, t = p.scale * z, bell = exponential(-t * t);
  sine_and_cosine(p.omega_w * z, &s, &c, is_far, by_library);
  return (both){c * bell, -(p.omega_w * s + 2 * p.scale * t * c) * bell};
}

/* gain (exp(-(scale u)^2) - floor) of u = finer(z) */
INLINE both gauss_finer(float z, parameters p, int *is_far, int by_library) {
  both inner = finer(z, p, is_far, by_library), outer = gauss(inner.value, p, is_far, by_library);
  return (both){p.gain * (outer.value - p.floor), p.gain * outer.slope * inner.slope};
}

/* real_wire(finer(z)) */
INLINE both real_wire_finer(float z, parameters p, int *is_far, int by_library) {
  both inner = finer(z, p, is_far, by_library), outer = real_wire(inner.value, p, is_far, by_library);
  return (both){outer.value, outer.slope * inner.slope};
}

/* Do `write` for each i with the `result` of z[i]: LANES at a time by polynomials, then again what was too far for them. */
#define FOR_EACH(write)                                                                                                \
  for (int64_t start = 0; start < n; start += LANES) {                                                                 \
    int lanes = n - start < LANES ? (int)(n - start) : LANES, any_is_far = 0;                                          \
    float in[LANES];                                                                                                   \
    memcpy(in, z + start, lanes * sizeof *in);                                                                         \
    for (int i = 0; i < lanes; i++) {                                                                                  \
      both result = FUNCTION(in[i], p, &any_is_far, 0);                                                                \
      write;                                                                                                           \
    }                                                                                                                  \
    for (int i = 0; any_is_far && i < lanes; i++) {                                                                    \
      int is_far = 0;                                                                                                  \
      FUNCTION(in[i], p, &is_far, 0);                                                                                  \
      if (is_far) {                                                                                                    \
        both result = FUNCTION(in[i], p, &is_far, 1);                                                                  \
        write;                                                                                                         \
      }                                                                                                                \
    }                                                                                                                  \
  }

EXPORT void value(parameters p, int64_t n, const float *z, float *restrict value) {
  FOR_EACH(value[start + i] = result.value)
}

/* `slope` may be `z`. */
EXPORT void value_and_slope(parameters p, int64_t n, const float *z, float *restrict value, float *slope) {
  FOR_EACH({
    value[start + i] = result.value;
    slope[start + i] = result.slope;
  })
}

EXPORT void gradient(parameters p, int64_t n, const float *z, const float *grad, float *restrict gradient) {
  FOR_EACH(gradient[start + i] = result.slope * grad[start + i])
}
