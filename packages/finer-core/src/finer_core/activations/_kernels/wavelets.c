/* Complex activations, each in one pass over memory: value, or gradient.

   A number is a pair (re, im); real arguments, of a network's first layer, have im = 0 and a real gradient. native.py
   builds the kernels for one FUNCTION of those below, with FUNCTION##_gradient, and says what `parameters` hold.
*/

#include "elementary.h"

typedef struct {
  float re, im;
} pair;

/* exp(i omega_w u - |scale u|^2) */
INLINE pair gabor(pair u, parameters p, int *is_far, int by_library) {
  float s, c, size = envelope(-p.scale * p.scale * (u.re * u.re + u.im * u.im) - p.omega_w * u.im);
  sine_and_cosine(p.omega_w * u.re, &s, &c, is_far, by_library);
  return (pair){size * c, size * s};
}

/* Its gradient: with b = conj(f) g, -i omega_w b - 2 scale^2 u Re b. */
INLINE pair gabor_gradient(pair u, pair g, parameters p, int *is_far, int by_library) {
  pair f = gabor(u, p, is_far, by_library);
  float b_re = f.re * g.re + f.im * g.im, b_im = f.re * g.im - f.im * g.re;
  float radial = -2 * p.scale * p.scale * b_re;
  return (pair){p.omega_w * b_im + radial * u.re, radial * u.im - p.omega_w * b_re};
}

/* sin z = sin x cosh y + i cos x sinh y and cos z = cos x cosh y - i sin x sinh y */
INLINE void complex_sine_and_cosine(pair z, pair *sine, pair *cosine, int *is_far, int by_library) {
  float s, c, grown = exponential(fabsf(z.im)), shrunk = 1 / grown, y2 = z.im * z.im;
  sine_and_cosine(z.re, &s, &c, is_far, by_library);
  float cosh = 0.5f * (grown + shrunk), sinh = 0.5f * (z.im < 0 ? shrunk - grown : grown - shrunk);
  float series = z.im + z.im * y2 * (1 / 6.0f + y2 * (1 / 120.0f + y2 * (1 / 5040.0f)));
  sinh = y2 < 0.25f ? series : sinh; /* the difference of two numbers near 1 is wrong */
  *sine = (pair){s * cosh, c * sinh};
  *cosine = (pair){c * cosh, -s * sinh};
}

INLINE pair times_conjugate(pair a, pair b) {
  return (pair){a.re * b.re + a.im * b.im, a.im * b.re - a.re * b.im};
}

/* The wavelet of u = sin h, whose phase h is FINER's of z; `grow` gives h, `shrink` pulls a gradient t back to z. */
#define OF_FINER_SINE(NAME, GROW, SHRINK)                                                                              \
  INLINE pair NAME(pair z, parameters p, int *is_far, int by_library) {                                                \
    pair u, slope;                                                                                                     \
    complex_sine_and_cosine(GROW(z, p), &u, &slope, is_far, by_library);                                               \
    return gabor(u, p, is_far, by_library);                                                                            \
  }                                                                                                                    \
  INLINE pair NAME##_gradient(pair z, pair g, parameters p, int *is_far, int by_library) {                             \
    pair u, slope;                                                                                                     \
    complex_sine_and_cosine(GROW(z, p), &u, &slope, is_far, by_library);                                               \
    return SHRINK(z, times_conjugate(gabor_gradient(u, g, p, is_far, by_library), slope), p);                          \
  }

/* Each part has a factor of its own. */
INLINE pair grow_parts(pair z, parameters p) {
  return (pair){p.omega_0 * (fabsf(z.re) + 1) * z.re, p.omega_0 * (fabsf(z.im) + 1) * z.im};
}

INLINE pair shrink_parts(pair z, pair t, parameters p) {
  return (pair){p.omega_0 * (p.held * fabsf(z.re) + 1) * t.re, p.omega_0 * (p.held * fabsf(z.im) + 1) * t.im};
}

/* Both parts have the factor |z| + 1. */
INLINE pair grow_modulus(pair z, parameters p) {
  float factor = p.omega_0 * (sqrtf(z.re * z.re + z.im * z.im) + 1);
  return (pair){factor * z.re, factor * z.im};
}

INLINE pair shrink_modulus(pair z, pair t, parameters p) {
  float size = sqrtf(z.re * z.re + z.im * z.im), factor = p.omega_0 * (size + 1);
  float along = (p.held - 1) * p.omega_0 * (z.re * t.re + z.im * t.im) / (size > 0 ? size : 1);
  return (pair){factor * t.re + along * z.re, factor * t.im + along * z.im};
}

OF_FINER_SINE(gabor_of_parts, grow_parts, shrink_parts)
OF_FINER_SINE(gabor_of_modulus, grow_modulus, shrink_modulus)

INLINE void take_apart(const float *from, int lanes, int is_complex, float *re, float *im) {
  for (int i = 0; i < lanes; i++) {
    re[i] = is_complex ? from[2 * i] : from[i];
    im[i] = is_complex ? from[2 * i + 1] : 0;
  }
}

INLINE void put_together(float *to, int lanes, int is_complex, const float *re, const float *im) {
  for (int i = 0; i < lanes; i++) {
    if (is_complex) {
      to[2 * i] = re[i];
      to[2 * i + 1] = im[i];
    } else {
      to[i] = re[i];
    }
  }
}

/* Compute `result` for each number: all lanes by polynomials, then again what was too far for them. */
#define FOR_EACH(RESULT)                                                                                               \
  int any_is_far = 0;                                                                                                  \
  for (int i = 0; i < lanes; i++) {                                                                                    \
    pair z = {z_re[i], z_im[i]}, g = {g_re[i], g_im[i]}, result = RESULT(&any_is_far, 0);                              \
    (void)g;                                                                                                           \
    re[i] = result.re;                                                                                                 \
    im[i] = result.im;                                                                                                 \
  }                                                                                                                    \
  for (int i = 0; any_is_far && i < lanes; i++) {                                                                      \
    pair z = {z_re[i], z_im[i]}, g = {g_re[i], g_im[i]}, result;                                                       \
    int is_far = 0;                                                                                                    \
    result = RESULT(&is_far, 0);                                                                                       \
    if (is_far) {                                                                                                      \
      result = RESULT(&is_far, 1);                                                                                     \
      (void)g;                                                                                                         \
      re[i] = result.re;                                                                                               \
      im[i] = result.im;                                                                                               \
    }                                                                                                                  \
  }

#define VALUE(is_far, by_library) FUNCTION(z, p, is_far, by_library)
#define JOINED(name) name##_gradient
#define GRADIENT_OF(name) JOINED(name)
#define GRADIENT(is_far, by_library) GRADIENT_OF(FUNCTION)(z, g, p, is_far, by_library)

/* One group of numbers: `grad` is null for the value. */
INLINE void group(parameters p, int lanes, int is_complex, const float *z, const float *grad, float *out) {
  float z_re[LANES], z_im[LANES], g_re[LANES], g_im[LANES], re[LANES], im[LANES];
  take_apart(z, lanes, is_complex, z_re, z_im);
  if (grad) {
    take_apart(grad, lanes, 1, g_re, g_im);
    FOR_EACH(GRADIENT)
    put_together(out, lanes, is_complex, re, im);
  } else {
    memset(g_re, 0, sizeof g_re);
    memset(g_im, 0, sizeof g_im);
    FOR_EACH(VALUE)
    put_together(out, lanes, 1, re, im);
  }
}

/* Complex values of n numbers. */
EXPORT void value(parameters p, int64_t n, int is_complex, const float *z, float *value) {
  for (int64_t start = 0; start < n; start += LANES) {
    int lanes = n - start < LANES ? (int)(n - start) : LANES;
    if (is_complex)
      group(p, lanes, 1, z + 2 * start, 0, value + 2 * start);
    else
      group(p, lanes, 0, z + start, 0, value + 2 * start);
  }
}

/* The gradient of a complex `grad`, of z's own kind. */
EXPORT void gradient(parameters p, int64_t n, int is_complex, const float *z, const float *grad, float *gradient) {
  for (int64_t start = 0; start < n; start += LANES) {
    int lanes = n - start < LANES ? (int)(n - start) : LANES;
    if (is_complex)
      group(p, lanes, 1, z + 2 * start, grad + 2 * start, gradient + 2 * start);
    else
      group(p, lanes, 0, z + start, grad + 2 * start, gradient + start);
  }
}
